"""The time of one image through a model: the wait of a user who classifies one image at a time.

A machine is faster at one moment than at another. So models that are compared take turns, pass by
pass, and the median of each covers the same period.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from hpsearch.registry import Component
from hpsearch.training.evaluate import autocast
from hpsearch.training.models.inspection import describe
from hpsearch.training.plan import Plan
from hpsearch.training.precision import ComputePrecision
from hpsearch.training.registries import MODELS

#: Passes before the timed ones, which choose kernels and fill caches.
WARM_UP = 5


@dataclass(frozen=True, kw_only=True)
class Passes:
    """The number of timed passes: as many as fit into ``seconds``, from ``fewest`` to ``most``."""

    fewest: int
    most: int
    seconds: float


#: For a trial's model after its training.
OF_ONE = Passes(fewest=10, most=200, seconds=1.0)
#: For each of several models; the seconds are those of all together.
OF_EACH = Passes(fewest=15, most=300, seconds=3.0)


@dataclass(frozen=True, kw_only=True)
class _TimedModel:
    model: nn.Module
    image: Tensor
    precision: ComputePrecision


def latency(
    model: Component,
    weights: Mapping[str, Tensor],
    *,
    input_shape: tuple[int, int, int],
    classes: int,
    device: str,
    precision: ComputePrecision,
) -> float:
    """Return the median milliseconds of one image through the model in evaluation mode.

    The image is on the device before the clock starts. The process's threads and the machine's
    other load are part of the value. The process's global random numbers stay as they are.

    Args:
        model: The model's name and settings.
        weights: The model's ``state_dict``.
        input_shape: (channels, height, width).
        classes: Number of classes.
        device: Name of the device, such as ``cpu`` or ``cuda``.
        precision: The precision to compute in.
    """
    torch_device = torch.device(device)
    convolutional = describe(model, input_shape=input_shape, classes=classes).convolutional
    with torch.random.fork_rng(devices=[]):
        timed_model = _build(
            model, input_shape, classes, torch_device, precision, convolutional=convolutional
        )
    timed_model.model.load_state_dict(weights)
    return 1000.0 * _medians({0: timed_model}, torch_device, OF_ONE)[0]


def time_side_by_side(
    models: Mapping[int, tuple[Component, Plan]], *, device: str
) -> dict[int, float]:
    """Return the median seconds of one image through each model, measured as in ``latency``.

    The weights are random, which doesn't change the time.
    """
    torch_device = torch.device(device)
    with torch.random.fork_rng(devices=[]):
        timed_models = {
            name: _build(
                model,
                plan.input_shape,
                len(plan.class_names),
                torch_device,
                plan.precision,
                convolutional=plan.model.convolutional,
            )
            for name, (model, plan) in models.items()
        }
    return _medians(timed_models, torch_device, OF_EACH)


def _build(
    component: Component,
    input_shape: tuple[int, int, int],
    classes: int,
    device: torch.device,
    precision: ComputePrecision,
    *,
    convolutional: bool,
) -> _TimedModel:
    model = MODELS.build(component, input_shape, classes).to(device).eval()
    image = torch.randn(1, *input_shape).to(device)  # (1, channels, height, width)
    if convolutional:
        # As in training and evaluation
        model.to(memory_format=torch.channels_last)
        image = image.to(memory_format=torch.channels_last)
    return _TimedModel(model=model, image=image, precision=precision)


def _medians(
    timed_models: Mapping[int, _TimedModel], device: torch.device, passes: Passes
) -> dict[int, float]:
    times: dict[int, list[float]] = {name: [] for name in timed_models}
    with torch.inference_mode():
        for model in timed_models.values():
            for _ in range(WARM_UP):
                _pass(model, device)
        began = time.perf_counter()
        for pass_number in range(passes.most):
            if pass_number >= passes.fewest and time.perf_counter() - began >= passes.seconds:
                break
            for name in _turned(list(timed_models), pass_number):
                times[name].append(_pass(timed_models[name], device))
    return {name: median(seconds) for name, seconds in times.items()}


def _turned(names: Sequence[int], by: int) -> list[int]:
    """Return ``names`` rotated by ``by``, so that no model always follows the largest one."""
    start = by % max(1, len(names))
    return [*names[start:], *names[:start]]


def _pass(timed_model: _TimedModel, device: torch.device) -> float:
    with autocast(device, timed_model.precision):
        synchronize(device)
        began = time.perf_counter()
        timed_model.model(timed_model.image)
        synchronize(device)
        return time.perf_counter() - began


def synchronize(device: torch.device) -> None:
    """Wait until ``device`` has finished its work: a time read before is too early."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
