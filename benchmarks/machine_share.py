"""How much of the machine training uses: its multiply-adds a second against bare convolutions'.

A training step takes three times the multiply-adds of its forward pass: the pass itself, the
gradients of what each layer was given, and those of its weights. Beside whole steps as
``hpsearch.training.engine`` does them, this times each convolution of the net alone (oneDNN's, of
the same shapes, precision and memory format, on tensors that lie ready), forward and both
gradients. What lies between the two is normalisation, activations, pooling, the optimizer,
converting, and Python.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import hpsearch.training.builtin  # noqa: F401 - registers models
from benchmarks.epoch_speed import ADAM, SGD
from hpsearch.registry import Component
from hpsearch.training.evaluate import autocast
from hpsearch.training.malloc import keep_freed_pages
from hpsearch.training.models.inspection import describe
from hpsearch.training.precision import choose
from hpsearch.training.registries import MODELS, OPTIMIZERS

CPU = torch.device("cpu")
INPUT, CLASSES = (3, 32, 32), 10

#: (model, optimizer of its report, batch size).
CASES = (
    (Component("resnet18"), SGD, 32),
    (Component("cnn_small"), ADAM, 32),
    (Component("dilated_cnn"), SGD, 128),
)


@dataclass(frozen=True)
class Convolution:
    """One convolution of a net, and its input."""

    layer: nn.Conv2d
    #: (batch, channels, height, width).
    shape: tuple[int, ...]
    multiply_adds: int
    #: Whether it computes the gradient of its input; the first layer doesn't need it.
    passes_gradients: bool


def convolutions(model: nn.Module, images: Tensor) -> list[Convolution]:
    """Return the model's convolutions in the order of execution."""
    layers: list[Convolution] = []

    def note(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        per_output = layer.weight[0].numel()
        shape = tuple(inputs[0].shape)
        layers.append(Convolution(layer, shape, output.numel() * per_output, bool(layers)))

    hooks = [
        layer.register_forward_hook(note)
        for layer in model.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    with torch.inference_mode():
        model(images)
    for hook in hooks:
        hook.remove()
    return layers


def median_seconds(work: Callable[[], object], rounds: int, at_least: float = 0.05) -> float:
    """Return the median seconds of a CPU core that ``work`` takes."""
    work()
    began = time.thread_time()
    work()
    times = max(1, int(at_least / max(time.thread_time() - began, 1e-6)))
    seconds = []
    for _ in range(rounds):
        began = time.thread_time()
        for _ in range(times):
            work()
        seconds.append((time.thread_time() - began) / times)
    return statistics.median(seconds)


def bare(convolution: Convolution, kind: torch.dtype) -> tuple[Callable[[], object], ...]:
    """Return the forward pass of one convolution, and its forward pass with both gradients."""
    layer = convolution.layer
    images = torch.randn(convolution.shape).to(kind, memory_format=torch.channels_last)
    images.requires_grad_(convolution.passes_gradients)
    weight = layer.weight.detach().to(kind, memory_format=torch.channels_last).requires_grad_()
    settings = (None, layer.stride, layer.padding, layer.dilation, layer.groups)

    def forward() -> Tensor:
        return F.conv2d(images, weight, *settings)

    with torch.no_grad():
        onwards = torch.randn_like(forward())
    inputs = [images, weight] if convolution.passes_gradients else [weight]

    def forward_only() -> None:
        with torch.no_grad():
            forward()

    def both() -> None:
        torch.autograd.grad(forward(), inputs, onwards)

    return forward_only, both


def whole_step(model: nn.Module, optimizer: Component, images: Tensor, cast: Any) -> Any:
    """Return a training step on one batch."""
    stepper = OPTIMIZERS.build(optimizer, list(model.parameters()))
    labels = torch.randint(CLASSES, (len(images),))

    def step() -> None:
        with cast:
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels)
        stepper.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        stepper.step()

    return step


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one row per net."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    table = Table(
        title=f"billion multiply-adds a second, {options.threads} thread(s); "
        f"load {os.getloadavg()[0]:.1f}"
    )
    columns = ("model", "batch", "precision", "in training", "bare, with gradients", "share")
    for column in (*columns, "bare, forward", "share of it"):
        table.add_column(column, justify="left" if column == "model" else "right")
    with keep_freed_pages():
        for component, optimizer, batch in CASES:
            torch.manual_seed(0)
            model = MODELS.build(component, INPUT, CLASSES).to(memory_format=torch.channels_last)
            images = torch.randn(batch, *INPUT).contiguous(memory_format=torch.channels_last)
            work = describe(component, input_shape=INPUT, classes=CLASSES).multiply_adds
            precision = choose("auto", device=CPU, multiply_adds=work, batch_size=batch)
            kind = torch.bfloat16 if precision == "bf16" else torch.float32
            alone = convolutions(model, images)
            forward, both = 0.0, 0.0
            for convolution in alone:
                one, other = (
                    median_seconds(run, options.rounds) for run in bare(convolution, kind)
                )
                forward, both = forward + one, both + other
            first = [
                convolution.multiply_adds
                for convolution in alone
                if not convolution.passes_gradients
            ]
            inside = sum(convolution.multiply_adds for convolution in alone)
            step = whole_step(model, optimizer, images, autocast(CPU, precision))
            training = (3 * work * batch - sum(first)) / median_seconds(step, options.rounds)
            with_gradients = (3 * inside - sum(first)) / both
            table.add_row(
                component.name,
                str(batch),
                precision,
                f"{training / 1e9:.0f}",
                f"{with_gradients / 1e9:.0f}",
                f"{training / with_gradients:.0%}",
                f"{inside / forward / 1e9:.0f}",
                f"{training / (inside / forward):.0%}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
