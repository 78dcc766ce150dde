"""Checkpoints of a study on disk: names, falling back past a damaged one, and what stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hpsearch.search.ledger.types import CheckpointRef
from hpsearch.workers.trial.run_folder import RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "runs", "digits", "0a1b2c3d")


def save(folder: RunFolder, epoch: int, *, number: int = 7, attempt: int = 1) -> CheckpointRef:
    return folder.save(number, attempt, epoch, {"epoch": epoch, "weights": torch.ones(50)})


def files(folder: RunFolder) -> set[str]:
    return {
        path.relative_to(folder.path).as_posix()
        for path in folder.path.rglob("*")
        if path.is_file()
    }


def test_a_key_names_study_run_trial_epoch_and_attempt(folder: RunFolder, tmp_path: Path) -> None:
    reference = save(folder, 3, attempt=2)
    assert reference.key == "digits/0a1b2c3d/trial-0007/epoch-0003.attempt-2.pt"
    assert reference.epoch == 3
    # The key alone finds it, wherever the runs root lies on another host.
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    moved = RunFolder(tmp_path / "elsewhere", "digits", "0a1b2c3d")
    usable = moved.newest_usable([reference])
    assert usable is not None
    assert usable[0] is reference
    assert usable[1]["epoch"] == 3


def test_a_checkpoint_within_an_epoch_has_a_name_of_its_own(folder: RunFolder) -> None:
    save(folder, 3)
    part = folder.save(7, 1, 3, {"epoch": 3}, part="-part")
    assert part.key.endswith("/epoch-0003-part.attempt-1.pt")
    assert files(folder) == {
        "trial-0007/epoch-0003.attempt-1.pt",
        "trial-0007/epoch-0003-part.attempt-1.pt",
    }


def test_a_late_worker_writes_beside_its_successors_file(folder: RunFolder) -> None:
    successor = save(folder, 3, attempt=2)
    late = folder.save(7, 1, 3, {"epoch": 3, "late": True})
    assert late.key != successor.key
    usable = folder.newest_usable([successor])
    assert usable is not None
    assert "late" not in usable[1]


def _cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(content)


def _exchange(path: Path) -> None:
    """A sound checkpoint, but not the one that the ledger names."""
    older = path.with_name("epoch-0001.attempt-1.pt")
    path.write_bytes(older.read_bytes())


def _folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE = [
    pytest.param(_cut_off, id="cut off"),
    pytest.param(_empty, id="empty"),
    pytest.param(_flip_a_bit, id="a flipped bit"),
    pytest.param(_exchange, id="another checkpoint"),
    pytest.param(_folder_in_its_place, id="a folder in its place"),
    pytest.param(Path.unlink, id="gone"),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_newest_usable_checkpoint_is_found(
    folder: RunFolder, damage: Callable[[Path], None]
) -> None:
    first, second, third = (save(folder, epoch) for epoch in (1, 2, 3))
    newest_first = [third, second, first]

    def usable() -> int | None:
        newest = folder.newest_usable(newest_first)
        if newest is None:
            return None
        assert newest[1]["epoch"] == newest[0].epoch
        return newest[0].epoch

    assert usable() == 3
    damage(folder.trial(7) / "epoch-0003.attempt-1.pt")
    assert usable() == 2
    damage(folder.trial(7) / "epoch-0002.attempt-1.pt")
    assert usable() == 1
    (folder.trial(7) / "epoch-0001.attempt-1.pt").unlink()
    assert usable() is None


def test_no_checkpoint_is_no_usable_checkpoint(folder: RunFolder) -> None:
    assert folder.newest_usable([]) is None


def test_only_what_is_kept_stays(folder: RunFolder) -> None:
    references = [save(folder, epoch) for epoch in (1, 2, 3, 4)]
    other = save(folder, 1, number=8)
    folder.save_best(7, {"weights": {}})
    folder.prune_checkpoints(7, references[-2:])
    assert files(folder) == {
        "trial-0007/epoch-0003.attempt-1.pt",
        "trial-0007/epoch-0004.attempt-1.pt",
        "trial-0007/best.pt",
        f"trial-0008/{Path(other.key).name}",
    }
    folder.prune_checkpoints(9, [])  # no such trial: nothing to do


def test_tidying_leaves_the_winners_weights_and_what_still_runs(folder: RunFolder) -> None:
    for number in (0, 1, 2):
        save(folder, 5, number=number)
        folder.save_best(number, {"weights": {}})
    # A worker that was killed while it wrote.
    folder.trial(0).joinpath(".epoch-0006.attempt-1.pt.77.0a1b2c3d.unfinished").touch()
    folder.clean_up({0, 1}, winners={1})
    assert files(folder) == {
        "trial-0001/best.pt",
        "trial-0002/best.pt",  # runs: its report may come at any moment
        "trial-0002/epoch-0005.attempt-1.pt",
    }
    assert not folder.trial(0).exists()
    folder.clean_up({0, 1, 2}, winners=())
    assert list(folder.path.iterdir()) == []


def test_tidying_spares_what_is_not_ours(folder: RunFolder) -> None:
    save(folder, 5, number=3)
    folder.trial(3).joinpath("notes.txt").write_text("mine")
    folder.path.joinpath("trial-notes").mkdir()
    folder.path.joinpath("trial-notes", "best.pt").touch()
    folder.clean_up({3}, winners=())
    assert files(folder) == {"trial-0003/notes.txt", "trial-notes/best.pt"}


def test_tidying_before_anything_was_written_is_fine(folder: RunFolder) -> None:
    folder.clean_up({1}, winners={1})
    assert not folder.path.exists()


def test_files_that_may_not_be_removed_stay_and_cost_no_work(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removing is the last step of an attempt: an error there would count against its trial."""

    def refused(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    save(folder, 1)
    folder.save_best(7, {"epoch": 1})
    (folder.path / "trial-0007" / ".epoch-0002.pt.1.abc.unfinished").touch()
    monkeypatch.setattr(Path, "unlink", refused)
    folder.prune_checkpoints(7, [])
    folder.clean_up({7}, winners=())
    assert len(files(folder)) == 3


def test_a_file_where_the_folder_should_be_is_left_alone(folder: RunFolder) -> None:
    folder.path.parent.mkdir(parents=True)
    folder.path.touch()
    folder.clean_up({7}, winners=())
    folder.prune_checkpoints(7, [])
