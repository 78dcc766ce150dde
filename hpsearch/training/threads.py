"""The number of threads of a training, by a fixed rule, so that a rerun chooses the same.

A step runs many short operations, and after each one its threads wait for each other. Small
networks gain nothing from several threads on an idle machine, and lose much on a busy one: if one
thread's core is taken, the others wait for a time slice of the operating system in every operation.
``benchmarks/thread_rule.py`` times training steps with one thread and with several.
"""

from __future__ import annotations

import torch

#: Multiply-adds of one forward step (batch included) from which more than one thread pays on a CPU.
CPU_MULTIPLY_ADDS = 200_000_000


def threads_for(
    device: torch.device, *, available: int, multiply_adds: int, batch_size: int
) -> int:
    """Return the number of threads to compute with.

    Args:
        device: The device of the training.
        available: Number of threads that it may use.
        multiply_adds: Those of one sample's forward pass.
        batch_size: Samples per step.

    Returns:
        1 for a small network on a CPU, else ``available``.
    """
    small = multiply_adds * batch_size < CPU_MULTIPLY_ADDS
    return 1 if device.type == "cpu" and small else available
