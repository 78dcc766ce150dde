"""How long one image takes: what somebody waits for who classifies pictures one by one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median

import torch
from torch import Tensor

from hpsearch.registry import Component
from hpsearch.training.evaluate import autocast
from hpsearch.training.models.inspection import describe
from hpsearch.training.precision import Chosen
from hpsearch.training.registries import MODELS

#: The first passes choose kernels and fill caches.
WARM_UP = 5
#: Passes that are timed: as many as fit the seconds, but at least and at most so many.
FEWEST, MOST, SECONDS = 10, 200, 1.0


def latency(
    model: Component,
    weights: Mapping[str, Tensor],
    *,
    input_shape: tuple[int, int, int],
    classes: int,
    device: str,
    precision: Chosen,
) -> float:
    """Return the median milliseconds of one image through the model in evaluation mode.

    ``input_shape`` is (channels, height, width). The image lies on the device already; the
    process's threads and whatever else the machine is doing are part of the figure. The process's
    global random numbers are left as they were found.
    """
    where = torch.device(device)
    with torch.random.fork_rng(devices=[]):
        built = MODELS.build(model, input_shape, classes)
    built.load_state_dict(weights)
    built.to(where).eval()
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, *input_shape, generator=generator).to(where)  # (1, c, h, w)
    if describe(model, input_shape=input_shape, classes=classes).convolutional:
        # As in training and evaluation
        built.to(memory_format=torch.channels_last)
        image = image.to(memory_format=torch.channels_last)
    times: list[float] = []
    with torch.inference_mode(), autocast(where, precision):
        for _ in range(WARM_UP):
            built(image)
        began = time.perf_counter()
        while len(times) < FEWEST or (len(times) < MOST and time.perf_counter() - began < SECONDS):
            _wait_for(where)
            start = time.perf_counter()
            built(image)
            _wait_for(where)
            times.append(time.perf_counter() - start)
    return 1000.0 * median(times)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
