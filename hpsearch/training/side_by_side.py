"""How long one image takes with each of several models, measured so that they can be compared.

A machine is faster at one moment than at another. So the models take turns, pass by pass, and each
one's median is over the same moments.
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
from hpsearch.training.plan import Plan
from hpsearch.training.precision import Chosen
from hpsearch.training.registries import MODELS

#: The first passes choose kernels and fill caches.
WARM_UP = 3
#: Passes of each that are timed: as many as fit the seconds (of all models together), but at least
#: and at most so many.
FEWEST, MOST, SECONDS = 15, 300, 3.0


@dataclass(frozen=True, kw_only=True)
class _Built:
    model: nn.Module
    image: Tensor
    precision: Chosen


def time_side_by_side(
    models: Mapping[int, tuple[Component, Plan]], *, device: str
) -> dict[int, float]:
    """Return the median seconds of one image through each model, in evaluation mode.

    The image lies on the device already. Weights are random: they don't change the time. The
    process's threads are part of the figure. Its global random numbers are left as they were.
    """
    where = torch.device(device)
    with torch.random.fork_rng(devices=[]):
        built = {name: _build(model, plan, where) for name, (model, plan) in models.items()}
    times: dict[int, list[float]] = {name: [] for name in built}
    with torch.inference_mode():
        for each in built.values():
            for _ in range(WARM_UP):
                _pass(each, where)
        began = time.perf_counter()
        for done in range(MOST):
            if done >= FEWEST and time.perf_counter() - began >= SECONDS:
                break
            for name in _turned(list(built), done):
                times[name].append(_pass(built[name], where))
    return {name: median(each) for name, each in times.items()}


def _build(component: Component, plan: Plan, device: torch.device) -> _Built:
    model = MODELS.build(component, plan.input_shape, len(plan.class_names)).to(device).eval()
    image = torch.randn(1, *plan.input_shape).to(device)  # (1, channels, height, width)
    if plan.model.convolutional:
        # As in training and evaluation
        model.to(memory_format=torch.channels_last)
        image = image.to(memory_format=torch.channels_last)
    return _Built(model=model, image=image, precision=plan.precision)


def _turned(names: Sequence[int], by: int) -> list[int]:
    """Return ``names`` beginning with another one each time: nobody always follows the largest."""
    start = by % max(1, len(names))
    return [*names[start:], *names[:start]]


def _pass(built: _Built, device: torch.device) -> float:
    with autocast(device, built.precision):
        _wait_for(device)
        began = time.perf_counter()
        built.model(built.image)
        _wait_for(device)
        return time.perf_counter() - began


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
