"""Memory of a shared GPU: a trial begins when the memory that it needs is free.

Experimental: the arithmetic is tested, but it never ran on a GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpsearch.training.plan import Plan

#: Workspace of cuDNN and cuBLAS, and what the allocator loses by fragmentation.
WORKING_BYTES = 256 * 2**20

#: Weights, gradients, and two moments of the optimizer, in fp32; an average of the weights.
_BYTES_PER_PARAMETER, _BYTES_OF_AVERAGE = 4 * 4, 4

#: Seconds between two reads of the free memory.
PAUSE = 2.0


def needed_bytes(plan: Plan) -> int:
    """Predict the bytes that training needs on a GPU, rather too many than too few.

    These are the parameters with gradients, moments and an average if it is evaluated, the saved
    activations of the largest batch (fp32), the gradient of the largest layer, and the images,
    which are on the GPU as uint8. A trial with folds has the models and images of all folds there,
    and trains one at a time.
    """
    batch = max(plan.batches)
    channels, height, width = plan.input_shape
    round_bytes = (
        plan.model.parameters * (_BYTES_PER_PARAMETER + _BYTES_OF_AVERAGE * plan.averaged)
        + (plan.train_images + plan.val_images) * channels * height * width
    )
    return (
        plan.rounds * round_bytes
        + plan.model.activation_bytes(batch)
        + 2 * 4 * batch * plan.model.largest_output
        + WORKING_BYTES
    )


def free_bytes(device: str) -> int:
    """Return how many bytes this process can still allocate on a CUDA device."""
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + unused)


def total_bytes(device: str) -> int:
    """Return the memory of a CUDA device in bytes."""
    import torch

    return int(torch.cuda.mem_get_info(device)[1])


def wait_for_memory(
    needed: int,
    *,
    total: int,
    free: Callable[[], int],
    leave: Callable[[], bool],
    on_wait: Callable[[int], None],
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until enough memory is free, or the worker must leave.

    If the whole device has less than ``needed``, return at once: the prediction may be wrong, and
    an out-of-memory error is handled anyway.

    Args:
        needed: Bytes that must be free.
        total: Bytes of the whole device.
        free: Returns the free bytes.
        leave: Whether the worker must leave.
        on_wait: Called with the free bytes, once, if the trial has to wait.
        pause: Sleeps for a number of seconds.
    """
    has_waited = False
    while needed <= total and not leave():
        amount = free()
        if amount >= needed:
            return
        if not has_waited:
            on_wait(amount)
            has_waited = True
        pause(PAUSE)
