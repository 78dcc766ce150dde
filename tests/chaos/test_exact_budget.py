"""Promise 2: N trials are N, with 1, 4 and 16 workers; launching a finished study adds none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.commands import Ran
from support.launches import STUDY, Launch, assert_exact
from support.ledger import open_search
from support.postgres import PostgresServer
from support.processes import _without_main_module, in_processes, work_until_finished
from support.searching import study_file

from hpsearch.results.consistency.facts import read_facts
from hpsearch.results.consistency.rule import findings_of
from hpsearch.results.consistency.rules import RULES
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database

TRIALS = 40


@pytest.fixture
def database(storage_url: str) -> Iterator[Database]:
    opened = Database(storage_url)
    ensure_tables(opened)
    yield opened
    opened.close()


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_processes_on_the_ledger_meet_the_budget_exactly(
    database: Database, storage_url: str, workers: int
) -> None:
    """Processes that do nothing but claim, start and finish: nobody races harder than they do."""
    study = open_search(database, study_file(trials=TRIALS, epochs=1))
    once = [(storage_url, f"host:worker-{number}", TRIALS) for number in range(workers)]
    finished = sum(in_processes(work_until_finished, once), Counter[int]())
    assert finished == Counter(range(1, TRIALS + 1))
    counts = study.counts()
    assert (counts.total, counts.complete) == (TRIALS, TRIALS)
    assert [trial.number for trial in study.trials()] == list(range(TRIALS))

    again = [(storage_url, f"host:late-{number}", TRIALS) for number in range(min(workers, 4))]
    assert sum(in_processes(work_until_finished, again), Counter[int]()) == Counter()
    assert study.counts() == counts
    facts = read_facts(database, "line")
    assert [finding for rule in RULES for finding in findings_of(rule, facts)] == []


@pytest.mark.timeout(1800)
def test_a_launch_with_four_workers_meets_the_budget_exactly(
    postgres: PostgresServer,
    hpsearch: Callable[..., Ran],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seven trials for four workers: the last round has too few for all of them.

    (On SQLite the acceptance tests launch and launch again.)
    """
    storage_url = postgres.create()
    monkeypatch.setenv("HPSEARCH_RUNS", str(tmp_path / "runs"))
    study = STUDY.replace("trials: 4, epochs_per_trial: 6", "trials: 7, epochs_per_trial: 2")
    launch = Launch(tmp_path, storage_url, study)
    try:
        launch.start(workers=4)
        launch.finish(300)
        assert_exact(launch, trials=7, epochs=2)
        assert len({event.owner for event in launch.events(kind="claimed")}) > 1
        tickets, log = launch.tickets(), launch.events()
        command = ("launch", str(launch.file), "--workers", "4", "--storage", storage_url)
        with _without_main_module():
            again = hpsearch(*command)
        assert (again.code, again.err) == (0, "")
        assert launch.tickets() == tickets
        assert launch.events() == log
    finally:
        launch.end()
