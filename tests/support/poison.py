"""A model that goes wrong in every way in which a trial can; a plug-in for studies in tests."""

from __future__ import annotations

from pathlib import Path

PLUGIN = '''\
"""A dense net that learns, or goes wrong at its first training batch."""

import ctypes
import os
import signal
import time

import torch
from torch import nn

from hpsearch.training.registries import MODELS


def out_of_memory_on_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has none")


def raises():
    raise RuntimeError("poison")


POISON = {
    "raise": raises,
    "memory": lambda: [0] * 2**58,
    "cuda": out_of_memory_on_a_gpu,
    "cpu": lambda: torch.empty(2**44),
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "hang": lambda: time.sleep(3600),
    # Whoever sleeps in a PyDLL holds the interpreter: no thread of the process runs any more.
    "stuck": lambda: ctypes.PyDLL(None).sleep(3600),
}


class Poison(nn.Module):
    def __init__(self, pixels: int, classes: int, does: str) -> None:
        super().__init__()
        self.out = nn.Linear(pixels, classes)
        self.does = does

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.out(images.flatten(1))
        if images.device.type == "meta":
            return logits
        if self.does in POISON:
            POISON[self.does]()
        return logits * torch.nan if self.does == "nan" else logits


@MODELS.register("poison")
def poison(shape, classes, /, *, does: str = "learn"):
    "A dense net that misbehaves."
    return Poison(shape[0] * shape[1] * shape[2], classes, does)
'''

#: Names of what it can do wrong.
KINDS = ("raise", "nan", "memory", "cuda", "cpu", "segfault", "hang", "stuck")


def write_plugin(folder: Path) -> Path:
    """Write the plug-in and return its path."""
    path = folder / "poison_model.py"
    path.write_text(PLUGIN)
    return path


def poison_study(folder: Path, *kinds: str, good: int, epochs: int = 2, timeout: str = "6s") -> str:
    """Return a study file whose first trials go wrong, and ``good`` that don't."""
    names = ", ".join(("learn", *KINDS))
    tried = "\n".join(
        f"  - {{model: {{poison: {{does: {kind}}}}}}}" for kind in [*kinds, *["learn"] * good]
    )
    return f"""
study: storm
seed: 3
budget: {{trials: {len(kinds) + good}, epochs_per_trial: {epochs}, trial_timeout: {timeout}}}
sampler: random
pruner: none
plugins: [{write_plugin(folder)}]
data: {{source: digits, limit: 200}}
model: {{poison: {{does: {{values: [{names}]}}}}}}
optimizer: {{sgd: {{lr: {{min: 1e-3, max: 0.1, log: true}}}}}}
batch_size: 32
try_first:
{tried}
"""
