"""A checkpoint is there whole or not at all (reliability, promise 6), and runs no code (14)."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import random
import stat
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hpsearch.durable_files import remove_unfinished
from hpsearch.errors import CheckpointError
from hpsearch.training import checkpoint


def made(seed: int) -> dict[str, Any]:
    """A state with every kind of value that training puts into one."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "epoch": seed,
        "history": [{"epoch": 1, "val_loss": 0.25}],
        "model": OrderedDict(weight=torch.randn(40, 30, generator=generator)),
        "optimizer": {"param_groups": [{"betas": (0.9, 0.999), "fused": True, "foreach": None}]},
        "schedule": {"milestones": Counter({3: 1})},
        "partial": {"augmentation": generator.get_state()},
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "study" / "17" / "last.pt"

    sha256 = checkpoint.save(path, made(1))

    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert same(checkpoint.load(path, sha256), made(1))
    assert same(checkpoint.load(path), made(1))
    assert names(path.parent) == ["last.pt"]


def test_the_same_state_gives_the_same_file(tmp_path: Path) -> None:
    assert checkpoint.save(tmp_path / "a", made(1)) == checkpoint.save(tmp_path / "b", made(1))
    assert checkpoint.save(tmp_path / "a", made(1)) != checkpoint.save(tmp_path / "b", made(2))


def test_steps_stand_in_an_order_that_survives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contents on the disk, then the name, then the folder that holds the name."""
    steps = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(handle: int) -> None:
        steps.append("fsync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "fsync file")
        real_fsync(handle)

    def replace(source: Path, target: Path) -> None:
        steps.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)

    checkpoint.save(tmp_path / "c.pt", made(1))

    assert steps == ["fsync file", "rename", "fsync folder"]


class Killed(BaseException):
    """Nothing is cleaned up after a SIGKILL: ``unlink`` doesn't run either."""


def dying(*_: Any, **__: Any) -> Any:
    raise Killed


def dying_on(call: int, real: Callable[..., Any]) -> Callable[..., Any]:
    calls = iter(range(call - 1))

    def step(*args: Any, **options: Any) -> Any:
        if next(calls, None) is None:
            raise Killed
        return real(*args, **options)

    return step


@pytest.mark.parametrize(
    ("step", "survivor"),
    [
        pytest.param(("open", 1), 1, id="before the file is there"),
        pytest.param(("fsync", 1), 1, id="written, not yet on the disk"),
        pytest.param(("replace", 1), 1, id="on the disk, not yet in its place"),
        pytest.param(("fsync", 2), 2, id="in its place, the folder not yet on the disk"),
    ],
)
def test_killed_at_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: tuple[str, int], survivor: int
) -> None:
    path = tmp_path / "c.pt"
    checkpoint.save(path, made(1))
    name, call = step
    owner: Any = Path if name == "open" else os
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", dying)
        patch.setattr(owner, name, dying_on(call, getattr(owner, name)))
        with pytest.raises(Killed):
            checkpoint.save(path, made(2))

    assert same(checkpoint.load(path), made(survivor))
    unfinished = [file for file in names(tmp_path) if file != "c.pt"]
    assert len(unfinished) == (1 if step in {("fsync", 1), ("replace", 1)} else 0)
    remove_unfinished(tmp_path)
    assert names(tmp_path) == ["c.pt"]
    checkpoint.save(path, made(3))
    assert same(checkpoint.load(path), made(3))


def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.pt"
    checkpoint.save(path, made(1))

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            checkpoint.save(path, made(2))

    assert names(tmp_path) == ["c.pt"]
    assert same(checkpoint.load(path), made(1))


class TestDamage:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "c.pt"

    @pytest.fixture
    def sha256(self, path: Path) -> str:
        return checkpoint.save(path, made(1))

    @pytest.mark.parametrize("kept", [0, 1, 100, 0.5, -1], ids=lambda kept: f"kept {kept}")
    def test_truncated(self, path: Path, sha256: str, kept: float) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content)) if kept == 0.5 else int(kept)])

        with pytest.raises(CheckpointError, match=f"checkpoint {path} isn't the file that was"):
            checkpoint.load(path, sha256)
        with pytest.raises(CheckpointError, match=f"checkpoint {path} is damaged or unsafe: "):
            checkpoint.load(path)

    def test_any_flipped_bit_is_found_by_the_ledgers_sum(self, path: Path, sha256: str) -> None:
        for content in flipped(path.read_bytes(), 40):
            path.write_bytes(content)
            with pytest.raises(CheckpointError) as raised:
                checkpoint.load(path, sha256)
            found = hashlib.sha256(content).hexdigest()
            assert str(raised.value) == (
                f"checkpoint {path} isn't the file that was written: its SHA-256 must be {sha256}, "
                f"but is {found}; it is damaged or was replaced"
            )

    @pytest.mark.usefixtures("sha256")
    def test_without_the_sum_a_flipped_bit_never_changes_what_is_read(self, path: Path) -> None:
        """The archive has bytes that say nothing (padding, dates); all others are checked."""
        refused = 0
        for content in flipped(path.read_bytes(), 200):
            path.write_bytes(content)
            try:
                assert same(checkpoint.load(path), made(1))
            except CheckpointError:
                refused += 1
        assert refused > 100

    def test_missing(self, tmp_path: Path) -> None:
        path = tmp_path / "gone.pt"
        with pytest.raises(CheckpointError) as raised:
            checkpoint.load(path)
        assert str(raised.value) == f"checkpoint {path} can't be read: No such file or directory"

    def test_exchanged_for_another_checkpoint(self, path: Path, sha256: str) -> None:
        checkpoint.save(path, made(2))

        with pytest.raises(CheckpointError, match="isn't the file that was written"):
            checkpoint.load(path, sha256)


def flipped(content: bytes, times: int) -> list[bytes]:
    """Return copies of ``content`` with one bit changed in each, spread over the whole file."""
    chance = random.Random(0)
    copies = []
    for index in range(times):
        changed = bytearray(content)
        at = (len(content) * index) // times
        changed[at] ^= 1 << chance.randrange(8)
        copies.append(bytes(changed))
    return copies


class TestRefused:
    def test_a_pickle_that_runs_code(self, tmp_path: Path) -> None:
        path, proof = tmp_path / "c.pt", tmp_path / "proof"

        class Hostile:
            def __reduce__(self) -> Any:
                return os.mkdir, (str(proof),)

        torch.save({"hpsearch_checkpoint": checkpoint.FORMAT, "state": Hostile()}, path)

        with pytest.raises(CheckpointError, match=f"checkpoint {path} is damaged or unsafe: "):
            checkpoint.load(path, hashlib.sha256(path.read_bytes()).hexdigest())
        assert not proof.exists()

    def test_a_plain_pickle(self, tmp_path: Path) -> None:
        path = tmp_path / "c.pt"
        path.write_bytes(pickle.dumps({"hpsearch_checkpoint": 1, "state": {}}))

        with pytest.raises(CheckpointError, match="is damaged or unsafe"):
            checkpoint.load(path)

    def test_a_zip_of_something_else(self, tmp_path: Path) -> None:
        path = tmp_path / "c.pt"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "hello")

        with pytest.raises(CheckpointError, match="is damaged or unsafe"):
            checkpoint.load(path)

    @pytest.mark.parametrize("content", [{"model": {}}, [1, 2]])
    def test_weights_of_another_program(self, tmp_path: Path, content: Any) -> None:
        path = tmp_path / "c.pt"
        torch.save(content, path)

        with pytest.raises(CheckpointError) as raised:
            checkpoint.load(path)
        assert str(raised.value) == f"{path} isn't a checkpoint of hpsearch"

    def test_a_newer_format(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "c.pt"
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "FORMAT", 99)
            checkpoint.save(path, made(1))

        with pytest.raises(CheckpointError) as raised:
            checkpoint.load(path)
        assert str(raised.value) == (
            f"checkpoint {path} has format 99, but this version of hpsearch reads format 1; "
            "use the version that wrote it"
        )
