"""How many threads a training uses of those that it may: a fixed rule, so that a rerun chooses the
same.

A step runs many short operations, and after each of them its threads wait for each other. Small
networks gain nothing from that on an idle machine, and lose much on a busy one: whoever waits for a
thread whose core is taken waits for a time slice of the operating system, operation by operation.
``benchmarks/thread_rule.py`` times training steps with one thread and with several.
"""

from __future__ import annotations

import torch

#: Multiply-adds of one forward step (batch included) from which more than one thread pays on a CPU.
CPU_MULTIPLY_ADDS = 200_000_000


def threads_for(
    device: torch.device, *, available: int, multiply_adds: int, batch_size: int
) -> int:
    """Return how many threads to compute with.

    Args:
        device: Where the network trains.
        available: How many threads it may use.
        multiply_adds: Of one sample, forward.
        batch_size: Samples of one step.

    Returns:
        1 for a small network on a CPU, else ``available``.
    """
    small = multiply_adds * batch_size < CPU_MULTIPLY_ADDS
    return 1 if device.type == "cpu" and small else available
