"""Room on a GPU that others use, too: a trial begins when the memory that it needs is free.

Experimental: the arithmetic is tested, but it never ran on a GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpsearch.training.plan import Plan

#: What cuDNN and cuBLAS take to work in, and what the allocator can't use for fragments.
WORKING_BYTES = 256 * 2**20

#: Weights, gradients, and two moments of the optimizer, in fp32; an average of the weights.
_BYTES_PER_PARAMETER, _BYTES_OF_AVERAGE = 4 * 4, 4

#: Seconds between two looks.
PAUSE = 2.0


def needed_bytes(plan: Plan) -> int:
    """Predict what training needs on a GPU, a little too much rather than too little.

    Parameters with gradients, moments and the average that some studies evaluate, what autograd
    keeps of the largest batch (in fp32), the gradient of the largest layer, and the images, which
    lie on the GPU as uint8. A trial of folds holds the models and images of all of them, and trains
    one at a time.
    """
    batch = max(plan.batches)
    channels, height, width = plan.input_shape
    held = (
        plan.model.parameters * (_BYTES_PER_PARAMETER + _BYTES_OF_AVERAGE * plan.averaged)
        + (plan.train_images + plan.val_images) * channels * height * width
    )
    return (
        plan.rounds * held
        + plan.model.activation_bytes(batch)
        + 2 * 4 * batch * plan.model.largest_output
        + WORKING_BYTES
    )


def free_bytes(device: str) -> int:
    """Return what this process can still get on a CUDA device, whoever holds the rest."""
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + unused)


def total_bytes(device: str) -> int:
    """Return the memory of a CUDA device."""
    import torch

    return int(torch.cuda.mem_get_info(device)[1])


def wait_for_memory(
    needed: int,
    *,
    total: int,
    free: Callable[[], int],
    leave: Callable[[], bool],
    tell: Callable[[int], None],
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Return when ``needed`` bytes are free, or ``leave`` says so.

    ``tell`` hears once how many are free where one has to wait. What the whole device doesn't hold
    is let through: the prediction may be wrong, and out-of-memory has an ending of its own.
    """
    told = False
    while needed <= total and not leave():
        found = free()
        if found >= needed:
            return
        if not told:
            tell(found)
            told = True
        pause(PAUSE)
