"""Does bf16 pay where ``training.precision`` chooses it? One row per model and batch size.

A training step in bf16 against one in fp32, same memory format and optimizer, in turn, in the
seconds of one CPU core that they took (other processes disturb those less than a clock does).
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table

import hpsearch.training.builtin  # noqa: F401 - registers models
from benchmarks.loops import plain_step
from hpsearch.registry import Component
from hpsearch.training import precision
from hpsearch.training.latency import synchronize
from hpsearch.training.malloc import keep_freed_pages
from hpsearch.training.models.inspection import ModelSummary, describe
from hpsearch.training.registries import MODELS, OPTIMIZERS

CPU = torch.device("cpu")
Shape = tuple[int, int, int]
COLOUR, GRAY, DIGITS = (3, 32, 32), (1, 28, 28), (1, 8, 8)

CONV = {"channels": 32, "kernel_size": 2, "dilation": 2}
DILATED = {"conv1": CONV, "conv2": {**CONV, "dilation": 1}}


@dataclass(frozen=True)
class Case:
    """One model on one kind of image, at several batch sizes."""

    model: str
    settings: dict[str, Any]
    shape: Shape
    batches: tuple[int, ...]


CASES = (
    Case("emoji_net", {}, COLOUR, (2, 5, 7, 10, 20, 64, 256)),
    Case("dilated_cnn", DILATED, GRAY, (8, 16, 24, 32, 64, 128)),
    Case("simple_cnn", {}, DIGITS, (32, 128, 512)),
    Case("simple_cnn", {}, GRAY, (4, 8, 16, 32, 128)),
    Case("cnn_lessvalues", {}, COLOUR, (16, 32, 64, 256)),
    Case("default_conv", {}, COLOUR, (16, 32, 64, 256)),
    Case("cnn_small", {}, COLOUR, (2, 8, 32)),
    Case("resnet18", {}, COLOUR, (2, 8, 32)),
    Case("mlp", {"hidden": [128]}, GRAY, (32, 128, 192, 256, 512)),
    Case("mlp", {"hidden": [150, 150]}, COLOUR, (8, 32, 48, 64, 128, 512)),
    Case("mlp", {"hidden": [1024]}, COLOUR, (4, 8, 16)),
    Case("mlp", {"hidden": [3072, 768, 192]}, COLOUR, (2, 4, 8, 16, 32, 128)),
)


def stepper(
    case: Case, batch: int, kind: precision.ComputePrecision, device: torch.device = CPU
) -> Callable[[], None]:
    """Return one training step on a fixed batch of noise."""
    torch.manual_seed(0)
    model = MODELS.build(Component(case.model, case.settings), case.shape, 10).to(device)
    model = model.to(memory_format=torch.channels_last)
    optimizer = OPTIMIZERS.build(
        Component("sgd", {"lr": 0.001, "momentum": 0.9}), list(model.parameters())
    )
    images = torch.randn(batch, *case.shape).to(device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,)).to(device)
    return partial(plain_step(model, optimizer, kind, device), images, labels)


def seconds(step: Callable[[], None], times: int, device: torch.device = CPU) -> float:
    """Return the seconds of ``times`` steps: CPU time on a CPU, wall time on other devices."""
    clock = time.thread_time if device.type == "cpu" else time.perf_counter
    synchronize(device)
    began = clock()
    for _ in range(times):
        step()
    synchronize(device)
    return clock() - began


def speed_up(
    case: Case, batch: int, rounds: int, device: torch.device = CPU, at_least: float = 0.1
) -> float:
    """Return how many times faster a step is in bf16: the median of pairs taken in turn."""
    kinds: tuple[Literal["fp32", "bf16"], ...] = ("fp32", "bf16")
    plain, fast = (stepper(case, batch, kind, device) for kind in kinds)
    for step in (plain, fast):
        seconds(step, 3, device)
    times = max(2, math.ceil(at_least / max(seconds(plain, 1, device), 1e-6)))
    return statistics.median(
        seconds(plain, times, device) / seconds(fast, times, device) for _ in range(rounds)
    )


def choice(
    model: ModelSummary, batch: int, device: torch.device = CPU
) -> precision.ComputePrecision:
    """Return the choice of the rule for this device (for a CPU, for one with bf16)."""
    return precision.choose(
        "auto",
        device=device,
        multiply_adds=model.multiply_adds,
        batch_size=batch,
    )


def main() -> None:
    """Print one row per model and batch size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="pairs of measurements")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(title="a training step in bf16 against fp32, 1 thread")
    for column in ("model", "input", "batch", "million mult-adds", "faster", "rule"):
        table.add_column(column, justify="right" if column != "model" else "left")
    lost = 0.0
    with keep_freed_pages():
        for case in CASES:
            model = describe(
                Component(case.model, case.settings), input_shape=case.shape, classes=10
            )
            for batch in case.batches:
                ratio, says = speed_up(case, batch, options.rounds), choice(model, batch)
                step = model.multiply_adds * batch
                wrong = math.log(ratio) if says == "fp32" else -math.log(ratio)
                lost = max(lost, wrong)
                table.add_row(
                    case.model,
                    "x".join(map(str, case.shape)),
                    str(batch),
                    f"{step / 1e6:.1f}",
                    f"{ratio:.2f}",
                    says,
                )
    console = Console(width=100)
    console.print(table)
    console.print(f"at worst the rule costs {100 * (math.exp(lost) - 1):.0f} % of a step")
    if not precision.cpu_has_bf16():
        console.print("this CPU has no bf16 instructions: the rule answers fp32 everywhere")


if __name__ == "__main__":
    main()
