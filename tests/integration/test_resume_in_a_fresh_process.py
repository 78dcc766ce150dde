"""A run that goes on in another process ends bit-identical (reliability, promise 5)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hpsearch.training import checkpoint

#: Trains two epochs of real images; argv: a folder, and what to go on from, one after the other:
#: nothing, the state after epoch 1, one within epoch 2. Leaves the states that the test compares.
SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
import hpsearch.training.builtin
from hpsearch.errors import TrainingInterrupted
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.training import checkpoint
from hpsearch.training.engine import train
folder = Path(sys.argv[1])
config = TrialConfig(
    data=DataConfig(source=Component("digits"), limit=200,
                    augmentation=(Component("random_crop", {"padding": 1}),)),
    model=Component("simple_cnn", {"conv1_channels": 8, "hidden": [16], "dropout": 0.2}),
    optimizer=Component("adam"),
    lr_schedule=Component("cosine"), batch_size=32, epochs=2, split_seed=0, seed=1)
for start in sys.argv[2:]:
    resume = None if start == "nothing" else checkpoint.load(folder / f"{start}.pt")
    torch.rand(len(start))  # whatever else the process draws changes nothing
    for result in train(config, resume_from=resume, data_root=folder / "data"):
        name = {1: "epoch-1", 2: f"end-from-{start}"}[result.epoch]
        checkpoint.save(folder / f"{name}.pt", result.state())
if start == "nothing":
    asked = iter(range(9))
    try:
        for result in train(config, data_root=folder / "data",
                            should_stop=lambda: next(asked, None) is None):
            pass
    except TrainingInterrupted as stopped:
        checkpoint.save(folder / "within-epoch-2.pt", stopped.state())
"""


@pytest.mark.timeout(1800)
def test_resumed_in_a_fresh_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path), "nothing"])
    exec(SCRIPT, {})  # in this process, whichever tests it has run before
    resumes = [SCRIPT, str(tmp_path), "epoch-1", "within-epoch-2"]
    subprocess.run([sys.executable, "-W", "error", "-c", *resumes], check=True, timeout=400)
    whole, *resumed = (
        checkpoint.load(tmp_path / f"end-from-{start}.pt")
        for start in ("nothing", "epoch-1", "within-epoch-2")
    )
    assert checkpoint.load(tmp_path / "within-epoch-2.pt")["partial"]["batches"] == 3
    assert [row["epoch"] for row in whole["history"]] == [1, 2]
    for end in resumed:
        assert _digits(end) == _digits(whole)


def _digits(value: Any) -> Any:
    """Return a state as plain values with every bit in them, and without the seconds."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), value.tolist()
    if isinstance(value, dict):
        return {
            key: _digits(each)
            for key, each in value.items()
            if key not in ("seconds", "val_seconds")
        }
    if isinstance(value, list | tuple):
        return [_digits(each) for each in value]
    return value
