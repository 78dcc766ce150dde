"""Files that somebody else wrote: an answer in seconds, in words, and no code of theirs is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import torch

from hpsearch.errors import CheckpointError, DataError
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.training import checkpoint
from hpsearch.training.models.pretrained import _read as read_weights

HEAD = """\
study: s
budget: {trials: 1, epochs_per_trial: 1}
data: {source: digits}
model: mlp
optimizer: adam
"""
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("seed: !!python/object/apply:os.system ['touch ran']", "tags", id="a call"),
        pytest.param("seed: !!python/name:os.system", "tags", id="a name"),
        pytest.param("seed: !include /etc/passwd", "tags", id="an include"),
        pytest.param(LAUGHS, "at most 20000 values", id="a billion laughs"),
        pytest.param("seed: &a [*a]", "an alias must not be inside", id="inside itself"),
        pytest.param("seed: " + "[" * 3000 + "]" * 3000, "at most 50 deep", id="deep lists"),
        pytest.param("seed: " + "[" * 60 + "]" * 60, "at most 50 deep", id="a little too deep"),
        pytest.param("? " * 3000, "at most 50 deep", id="deep keys"),
        pytest.param("seed: " + "9" * 5000, "seed", id="many digits"),
        pytest.param("seed: 0x" + "f" * 20_000, "between -2^63 and 2^63", id="hexadecimal digits"),
        pytest.param("seed: 0o" + "7" * 20_000, "between -2^63 and 2^63", id="octal digits"),
        pytest.param("seed: 1e999999999", "finite", id="a huge float"),
        pytest.param("description: " + "x" * 500_000, "400,000 characters", id="a huge text"),
        pytest.param("seed: \0", "not valid YAML", id="NUL"),
        pytest.param('from: "x\\0.yaml"', "must not contain a NUL", id="NUL in a path"),
        pytest.param("plugins: ['a\\0.py']", "plugins", id="NUL in a plug-in"),
        pytest.param(
            'plugins: ["a\\0.py"]', "must not contain a NUL", id="NUL in a plug-in, escaped"
        ),
        pytest.param("--- \n" * 50_000, "not valid YAML", id="many documents"),
    ],
)
def test_a_hostile_study_file_is_refused(hpsearch, here, text, says):
    (here / "mine.yaml").write_text(HEAD + text + "\n")
    ran = hpsearch("check", "--study", "mine.yaml")
    assert ran.code == 2, ran.all[-2000:]
    assert says in ran.err
    assert "mine.yaml" in ran.err
    assert "Traceback" not in ran.err
    assert [path.name for path in here.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/proc/self/mem", "."])
def test_what_isnt_a_study_file_is_refused(hpsearch, here, path):
    ran = hpsearch("check", "--study", path if path != "." else "./")
    assert ran.code == 2, ran.all
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "override", ["a" + ".a" * 5000 + "=1", "seed=" + "[" * 3000, "seed=!!python/name:os.system"]
)
def test_a_hostile_override_is_refused(hpsearch, here, override):
    ran = hpsearch("check", "--study", "quickstart", "--set", override)
    assert ran.code == 2
    assert "Traceback" not in ran.err


class _Call:
    """Unpickled without care, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


def _compressed(path: Path) -> None:
    """A sound archive of torch.save, packed again: 40 MB of zeros in 40 kB."""
    held = io.BytesIO()
    torch.save({"model": {"w": torch.zeros(10_000_000)}}, held)
    with (
        zipfile.ZipFile(held) as stored,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for each in stored.infolist():
            packed.writestr(each.filename, stored.read(each))


def _overlapping(path: Path) -> None:
    """Two entries of one archive that are the same bytes."""
    torch.save({"model": {"w": torch.zeros(100), "v": torch.zeros(100)}}, path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        one, two = [each for each in archive.infolist() if "/data/" in each.filename]
    # The second entry of the directory at the end is led to where the first begins.
    at = content.rindex(two.filename.encode()) - 46
    assert content[at : at + 4] == b"PK\x01\x02"
    content[at + 42 : at + 46] = (one.header_offset + 8).to_bytes(4, "little")
    path.write_bytes(content)


def _code(path: Path) -> None:
    torch.save({"model": {"w": _Call(path.parent / "ran")}}, path)


def _code_in_the_old_format(path: Path) -> None:
    torch.save({"model": _Call(path.parent / "ran")}, path, _use_new_zipfile_serialization=False)


def _plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Call(path.parent / "ran"), protocol=2))


def _half(path: Path) -> None:
    torch.save({"model": {"w": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (_code, "mkdir"),
        (_code_in_the_old_format, "mkdir"),
        (_plain_pickle, "mkdir"),
        (_compressed, "is compressed, which torch.save never does"),
        (_overlapping, "overlap"),
        (_half, ""),
    ],
)
def test_hostile_weights_are_refused(tmp_path, write, says):
    path = tmp_path / "weights.pt"
    write(path)
    with pytest.raises(DataError, match=f"weights must be a file written by torch.save .*{says}"):
        read_weights(path)
    with pytest.raises(CheckpointError, match=r"weights\.pt is damaged or unsafe"):
        checkpoint.load(path)
    assert [each.name for each in tmp_path.iterdir()] == ["weights.pt"]


@pytest.mark.parametrize("kind", ["a FIFO", "a device", "a folder"])
def test_weights_are_a_regular_file(tmp_path, kind):
    """PyTorch would wait for a writer, or read for ever."""
    path = tmp_path / "weights.pt"
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(DataError, match=f"can't be read: not a regular file, but {kind}"):
        read_weights(path)


def test_weights_in_torchs_older_format_still_load(tmp_path):
    """As many files of torchvision are."""
    path = tmp_path / "weights.pt"
    torch.save({"w": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    assert read_weights(path)["w"].tolist() == [1, 1, 1]


PLUGIN = """\
from pathlib import Path
from hpsearch.training.registries import MODELS
from torch import nn

Path(RAN).touch()


@MODELS.register("theirs")
def theirs(shape, classes):
    "A plug-in's model."
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))
"""


def test_a_plug_in_that_was_changed_since_isnt_run_by_a_worker(hpsearch, here):
    """The stored study knows its contents by their hash."""
    plugin = PLUGIN.replace("RAN", repr(str(here / "ran")))
    (here / "theirs.py").write_text(plugin)
    text = HEAD.replace("model: mlp", "model: mlp\nplugins: [theirs.py]")
    (here / "mine.yaml").write_text(text)
    stored = hpsearch("launch", "--study", "mine.yaml", "--workers", "0")
    assert stored.code == 0, stored.all
    (here / "ran").unlink()
    (here / "theirs.py").write_text(plugin + "\n# changed\n")
    refused = hpsearch("worker", "--study", "s")
    assert refused.code == 2, refused.all
    assert "must be the file that the study was made with" in refused.err
    assert not (here / "ran").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"plugins": ["/etc/passwd"]}, "/etc/passwd", id="a plug-in"),
        pytest.param({"plugins": ["a\0.py"]}, "contain a NUL", id="NUL"),
        pytest.param({"plugins": [{"path": "/etc/passwd", "sha256": "0"}]}, "SHA-256", id="a hash"),
        pytest.param({"model": {"os.system": {"x": 1}}}, "os.system", id="a model"),
        pytest.param({"study": "../up"}, "1 to 64 letters", id="a name"),
        pytest.param({"objective": None}, "must be a JSON object", id="no objective"),
        pytest.param(["no", "mapping"], "must be a JSON object", id="a list"),
        pytest.param("{", "must be a JSON object", id="no JSON"),
        pytest.param("[" * 100_000, "must be a JSON object", id="deep"),
    ],
)
def test_a_stored_study_that_somebody_changed_is_refused(hpsearch, here, change, says):
    (here / "mine.yaml").write_text(HEAD)
    assert hpsearch("launch", "--study", "mine.yaml", "--workers", "0").code == 0
    database = Database("sqlite:///hpsearch.db")
    (stored,) = studies.everything(database)
    document = change if isinstance(change, str) else json.dumps(change)
    if isinstance(change, dict):
        document = json.dumps({**stored.document, **change})
    database.write(
        lambda connection: connection.execute(
            sa.text("UPDATE hpsearch_studies SET document = :document"), {"document": document}
        )
    )
    database.close()
    ran = hpsearch("worker", "--study", "s")
    assert ran.code == 2, ran.all[-3000:]
    assert says in ran.err
    assert "Traceback" not in ran.err
