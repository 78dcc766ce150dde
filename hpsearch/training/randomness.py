"""Seeds, and random numbers that other code can't disturb.

The randomness of every epoch is a function of (seed, epoch): a training that resumes after an epoch
needs only these two numbers, on any device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from hpsearch.seeds import hashed_seed


def derived_seed(seed: int, *purpose: str | int) -> int:
    """Return a seed (0..2**63-1) for one purpose: ``derived_seed(7, "order", 3)``."""
    return hashed_seed(seed, *purpose, bits=63)


def shuffled(rows: Tensor, seed: int) -> Tensor:
    """Return ``rows`` (int64, on the CPU) in an order that depends only on ``seed``."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return rows[order]


class OwnRandomness:
    """PyTorch's global generators, as training needs them (weights, dropout).

    They have training's state only inside ``with randomness.installed():``. Outside, they have the
    process's own state, and other code may draw from them without changing a result.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Set the state with which the next ``installed`` block begins."""
        before = self._read()
        torch.default_generator.manual_seed(seed)
        if self._device.type == "cuda":
            with torch.cuda.device(self._device):
                torch.cuda.manual_seed(seed)
        elif self._device.type == "mps":
            torch.mps.manual_seed(seed)
        self._own = self._read()
        self._write(before)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Install training's generator states, and restore the process's own after the block."""
        before = self._read()
        self._write(self._own)
        try:
            yield
        finally:
            self._own = self._read()
            self._write(before)

    def state(self) -> dict[str, Any]:
        """Return the generators' states after the last ``installed`` block, for a checkpoint."""
        return {"device": self._device.type, "generators": self._own}

    def restore(self, state: dict[str, Any]) -> bool:
        """Take over ``state`` and return true, or false if it is of another kind of device."""
        if state["device"] != self._device.type:
            return False
        self._own = state["generators"]
        return True

    def _read(self) -> list[Tensor]:
        states = [torch.get_rng_state()]
        if self._device.type == "cuda":
            states.append(torch.cuda.get_rng_state(self._device))
        elif self._device.type == "mps":
            states.append(torch.mps.get_rng_state())
        return states

    def _write(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(states[1], self._device)
        elif self._device.type == "mps":
            torch.mps.set_rng_state(states[1])
