"""How a launch ends, by what the ledger holds when its last worker has left."""

from __future__ import annotations

from typing import Any

import pytest

from hpsearch.search.ledger import studies
from hpsearch.workers.launch.supervisor import Supervisor


@pytest.fixture
def last_worker_left(made_up):
    """Return how a launch ends that has no worker any more."""

    def ended() -> str:
        nobody: Any = []
        unused: Any = None
        supervisor = Supervisor(
            made_up.database, made_up.stored, made_up.study, devices=["cpu"], options=unused
        )
        return supervisor._watch(nobody, unused, unused, None, None)

    return ended


def test_finished_is_what_the_counts_say(made_up, last_worker_left):
    made_up.trial(0.5, 0.6, 0.7)
    assert last_worker_left() == "left"
    for _ in range(5):
        made_up.trial(0.5, 0.6, 0.7)
    assert last_worker_left() == "finished"


def test_a_budget_that_was_raised_meanwhile_counts(made_up, last_worker_left):
    for _ in range(6):
        made_up.trial(0.5, 0.6, 0.7)
    studies.raise_budget(made_up.database, made_up.stored.study_id, 7)
    assert last_worker_left() == "left"


def test_stopped_is_said_first(made_up, last_worker_left):
    studies.request_stop(made_up.database, made_up.stored.study_id)
    assert last_worker_left() == "stopped"
