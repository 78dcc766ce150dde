"""Names that lead elsewhere are refused with the rule, also those that stand in the database."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from support.ledger import open_search
from support.searching import study_file

from hpsearch.errors import CheckpointError, StorageError
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.types import CheckpointRef
from hpsearch.training import checkpoint
from hpsearch.workers.trial.run_folder import RunFolder

RULE = "a name of 1 to 64 letters, digits, _ and -"
BAD_NAMES = [
    "../up",
    "..",
    ".",
    "/etc",
    "a/b",
    "a\\b",
    "%2e%2e",
    "a\0b",
    "a\n",
    "a b",
    "",
    "x" * 65,
    "naïve",
    "$(id)",
]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("command", ["check", "launch"])
def test_a_name_is_refused_with_the_rule(hpsearch, here, command, name):
    ran = hpsearch(command, "--study", "quickstart", f"--name={name}")
    assert ran.code == 2
    assert RULE in ran.err
    assert "Traceback" not in ran.err
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "says"), [("../up", RULE), ("a/b", RULE), ("a\\0b", "must not contain a NUL")]
)
def test_a_name_in_a_file_is_refused_too(hpsearch, here, name, says):
    (here / "mine.yaml").write_text(f'study: "{name}"\nbudget: {{trials: 1}}\n')
    ran = hpsearch("check", "--study", "mine.yaml")
    assert ran.code == 2
    assert "mine.yaml:1: study" in ran.err
    assert says in ran.err


@pytest.mark.parametrize("name", ["../../etc/passwd", "nobody", "a\0b", "/dev/null", "%2e%2e/x"])
@pytest.mark.parametrize("command", ["status", "stop", "export", "show"])
def test_an_unknown_study_is_only_looked_up(hpsearch, here, command, name):
    database = Database("sqlite:///hpsearch.db")
    ensure_tables(database)
    database.close()
    ran = hpsearch(command, "--study", name)
    assert ran.code == 2
    # A path that is no file is refused as one
    assert ("must be a file or a pipe" if name == "/dev/null" else "unknown study") in ran.err
    assert [path.name for path in here.iterdir() if "hpsearch.db" not in path.name] == []


@pytest.mark.parametrize("column", ["name", "run_key"])
@pytest.mark.parametrize("value", ["../../elsewhere", "/tmp", "", "a/b", "..", "x\0"])
def test_a_folder_that_somebody_put_into_the_database_is_refused(tmp_path, column, value):
    """A worker removes files of ended trials below it: it must not lead elsewhere."""
    database = Database(f"sqlite:///{tmp_path}/hpsearch.db")
    ensure_tables(database)
    open_search(database, study_file())
    database.write(
        lambda connection: connection.execute(
            sa.text(f"UPDATE hpsearch_studies SET {column} = :value"), {"value": value}
        )
    )
    assert studies.everything(database) == []
    (reason,) = studies.unusable(database).values()
    assert re.search(rf"a study's {column} must be .* hpsearch never writes", reason)
    for name in studies.unusable(database):
        with pytest.raises(StorageError, match="hpsearch never writes"):
            studies.find(database, name)
    database.close()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A runs root, and a sound checkpoint beside it as well as in another study's folder."""
    state = {"engine": {}, "best": None}
    for path in ("outside.pt", "runs/other/11111111/trial-0000/epoch-0001.attempt-1.pt"):
        checkpoint.save(tmp_path / path, state)
    own = RunFolder(tmp_path / "runs", "mine", "0a1b2c3d")
    own.save(0, 1, 1, state)
    trial = own.trial(0)
    (trial / "epoch-0009.attempt-1.pt").symlink_to(tmp_path / "outside.pt")
    (trial / "outside.pt").write_bytes((tmp_path / "outside.pt").read_bytes())
    return tmp_path / "runs"


OWN = "mine/0a1b2c3d/trial-0000/epoch-0001.attempt-1.pt"


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("../outside.pt", id="above the root"),
        pytest.param("mine/0a1b2c3d/trial-0000/../../../../outside.pt", id="up from its folder"),
        pytest.param("mine/0a1b2c3d/trial-0000/epoch-0001/../../../../../outside.pt", id="deeper"),
        pytest.param("{root}/../outside.pt", id="absolute"),
        pytest.param("%2e%2e/outside.pt", id="percent signs"),
        pytest.param("other/11111111/trial-0000/epoch-0001.attempt-1.pt", id="another study's"),
        pytest.param("mine/0a1b2c3d/trial-0000/epoch-0009.attempt-1.pt", id="a symbolic link"),
        pytest.param("mine/0a1b2c3d/trial-0000/outside.pt", id="no checkpoint's name"),
        pytest.param(f"{OWN}\0", id="NUL"),
        pytest.param(f"./{OWN}", id="not as it was written"),
        pytest.param("", id="empty"),
    ],
)
def test_a_checkpoint_elsewhere_is_not_opened(runs: Path, key: str) -> None:
    folder = RunFolder(runs, "mine", "0a1b2c3d")
    sha256 = checkpoint.hashlib.sha256((runs.parent / "outside.pt").read_bytes()).hexdigest()
    hostile = CheckpointRef(key=key.format(root=runs), sha256=sha256, epoch=9)
    own = CheckpointRef(key=OWN, sha256=sha256, epoch=1)
    with pytest.raises(CheckpointError, match="must be a file of its trial below"):
        folder.name_of(hostile)
    found = folder.newest_usable([hostile, own])
    assert found is not None
    assert found[0] is own
