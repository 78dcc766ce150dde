"""`hpsearch doctor` on a study with real checkpoint files, damaged in one way after the other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import sqlalchemy as sa
from support.searching import epoch_end

from hpsearch.search.database.tables import events, tickets
from hpsearch.search.ledger import queries, validity
from hpsearch.search.ledger.claims import Claims
from hpsearch.search.ledger.events import event_log
from hpsearch.search.ledger.ledger import Ledger
from hpsearch.workers.checkup.examine import examine
from hpsearch.workers.checkup.repairs import make_repairs
from hpsearch.workers.trial.run_folder import RunFolder


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Two looks follow each other without a pause: nothing moves here but what a test moves."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@pytest.fixture
def folder(made_up, here):
    return RunFolder(here / "runs", "made_up", made_up.stored.run_key)


@pytest.fixture
def save(made_up, folder):
    """Train one more epoch of a claim, with a real checkpoint."""

    def save(claim, epoch: int, accuracy: float):
        number = claim.number if claim.number is not None else claim.ticket - 1
        kept = folder.save(number, claim.attempt, epoch, {"epoch": epoch})
        made_up.ledger.report(claim, epoch_end(epoch, accuracy), kept)
        return kept

    return save


@pytest.fixture
def complete(made_up, folder):
    """Train a whole trial; its best weights are kept, as a worker keeps them."""

    def complete(*accuracies: float, width: int = 8):
        claim = made_up.start(width=width)
        folder.save_best(claim.ticket - 1, {"epoch": 3, "value": accuracies[-1], "weights": {}})
        for epoch, accuracy in enumerate(accuracies, start=1):
            made_up.ledger.report(claim, epoch_end(epoch, accuracy))
        return claim

    return complete


@pytest.fixture
def paused(made_up, complete, save):
    """Trial 0 is complete, trial 1 paused after two epochs with a checkpoint of each."""
    complete(0.5, 0.9, 0.7)
    claim = made_up.start(width=16)
    kept = [save(claim, 1, 0.4), save(claim, 2, 0.5)]
    made_up.ledger.release(claim, "told to leave")
    return kept


@pytest.fixture
def doctor(hpsearch, made_up):
    return lambda *options: hpsearch(
        "doctor", "--study", "made_up", "--storage", made_up.url, *options
    )


def test_all_is_well(doctor, paused):
    ran = doctor()
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "made_up: no problems in 2 trials, 5 epochs, 8 events, 2 files\n"


def test_all_is_well_as_json(doctor, paused):
    ran = doctor("--json")
    assert ran.code == 0
    assert ran.json == {
        "study": "made_up",
        "well": True,
        "checked": {"trials": 2, "epochs": 5, "events": 8, "files": 2},
        "problems": [],
        "notes": [],
        "done": [],
    }


def test_an_unknown_study_is_a_users_error(hpsearch, made_up):
    ran = hpsearch("doctor", "--study", "other", "--storage", made_up.url)
    assert ran.code == 2
    assert "unknown study 'other'" in ran.err


def test_a_broken_rule_is_told_and_cannot_be_repaired(doctor, made_up, paused):
    made_up.database.write(
        lambda connection: connection.execute(
            sa.update(tickets).where(tickets.c.ticket == 2).values(epochs_done=3)
        )
    )
    ran = doctor("--repair")
    assert ran.code == 1
    assert "made_up: 1 problem in" in ran.out
    assert "1. trial 1 (ticket 2): counts 3 epochs, but has 1, 2" in ran.out
    assert "rule broken: epochs" in ran.out
    assert "--repair can't repair this" in ran.out


@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_a_bad_checkpoint_gives_way_to_the_one_before(doctor, made_up, here, paused, damage):
    older, newest = paused
    path = here / "runs" / newest.key
    if damage == "missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    ran = doctor()
    assert ran.code == 1
    says = "is missing" if damage == "missing" else "isn't the file that was written"
    assert f"trial 1 (ticket 2): its checkpoint {newest.key} {says}" in ran.out
    assert "continues from epoch 1" in ran.out
    assert "repair it: hpsearch doctor --repair" in ran.out

    repaired = doctor("--repair")
    assert repaired.code == 0
    assert "repaired: trial 1 (ticket 2): removed the entry of checkpoint" in repaired.out
    ticket = queries.all_tickets(made_up.database, made_up.stored.study_id)[1]
    assert (ticket.checkpoint, ticket.checkpoint_sha256) == (older.key, older.sha256)
    assert ticket.checkpoint_epoch == 1
    kinds = [each.kind for each in event_log(made_up.database, 1)]
    assert kinds[-2:] == ["checkpoint_forgotten", "repaired"]
    assert doctor().code == 0


def test_without_any_usable_checkpoint_the_trial_starts_again(doctor, made_up, here, paused):
    for each in paused:
        (here / "runs" / each.key).unlink()
    assert "continues from epoch 0" in doctor("--repair").out
    ticket = queries.all_tickets(made_up.database, made_up.stored.study_id)[1]
    assert (ticket.checkpoint, ticket.checkpoint_sha256, ticket.checkpoint_epoch) == (None,) * 3


def test_a_checkpoint_that_was_replaced_meanwhile_is_not_forgotten(made_up, here, paused, save):
    """Between the check and the repair a worker has taken the trial and saved another one."""
    (here / "runs" / paused[1].key).unlink()
    health = examine(made_up.database, "made_up", here / "runs")
    assert len(health.files.findings) == 1
    newer = save(made_up.claim(), 2, 0.5)
    assert make_repairs(made_up.database, health) == []
    ticket = queries.all_tickets(made_up.database, made_up.stored.study_id)[1]
    assert ticket.checkpoint == newer.key


def test_another_hosts_checkpoint_is_noted(doctor, made_up, here, paused):
    (here / "runs" / paused[1].key).unlink()
    made_up.database.write(
        lambda connection: connection.execute(
            sa.update(events).where(events.c.ticket == 2).values(owner="elsewhere:worker-0:1f")
        )
    )
    ran = doctor()
    assert ran.code == 0
    assert "note: the checkpoint of trial 1 (ticket 2) was written on elsewhere" in ran.out


def test_another_runs_folder_is_noted_and_nothing_is_forgotten(doctor, made_up, paused):
    ran = doctor("--runs", "nowhere", "--repair")
    assert ran.code == 0
    assert "so no file was checked; give the study's --runs folder" in ran.out
    assert queries.all_tickets(made_up.database, 1)[1].checkpoint == paused[1].key


def test_the_winners_weights_must_be_there(doctor, folder, paused):
    path = folder.trial(0) / "best.pt"
    path.write_bytes(path.read_bytes()[:-20])
    ran = doctor("--repair")
    assert ran.code == 1
    assert "rule broken: winner's weights" in ran.out
    assert "--repair can't repair this" in ran.out
    path.unlink()
    assert "can't be read: No such file" in doctor().out


@pytest.fixture
def finished(made_up, complete, folder):
    """Six complete trials, the first is best; files of a late worker are left over."""
    complete(0.5, 0.9, 0.9)
    for _ in range(5):
        complete(0.5, 0.6, 0.7)
    for number in range(1, 6):
        (folder.trial(number) / "best.pt").unlink()
        folder.trial(number).rmdir()
    folder.save(3, 1, 2, {"late": True})
    (folder.trial(3) / ".epoch-0003.attempt-1.pt.77.12345678.unfinished").write_bytes(b"half")
    (folder.trial(0) / "notes.txt").write_text("mine")


def test_left_over_files_are_told_and_removed(doctor, folder, finished):
    ran = doctor()
    assert ran.code == 1
    assert "trial 3 (ticket 4): 2 files that are no longer used" in ran.out
    assert doctor("--repair").code == 0
    assert not folder.trial(3).exists()
    left = sorted(path.name for path in folder.trial(0).iterdir())
    assert left == ["best.pt", "notes.txt"]


def test_files_of_an_unknown_trial_are_told_and_left_alone(doctor, folder, finished):
    doctor("--repair")
    folder.save(17, 1, 2, {"whose": "?"})
    ran = doctor("--repair")
    assert ran.code == 1
    assert "trial 17: 1 file of a trial that isn't in the ledger" in ran.out
    assert list(folder.trial(17).iterdir())


def test_left_over_files_of_a_running_study_are_its_workers_business(doctor, folder, paused):
    folder.save(0, 1, 2, {"late": True})
    assert doctor().code == 0


@pytest.fixture
def dead_pid():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


@pytest.fixture
def held_by_the_dead(made_up, complete, dead_pid, monkeypatch):
    """A running trial whose worker, a process of this host, is gone."""
    complete(0.5, 0.9, 0.7)
    owner = f"{socket.gethostname()[:60]}:worker-0:1f2e3d4c"
    claims = Claims(
        made_up.database,
        made_up.stored.study_id,
        owner,
        lease_seconds=3600,
        seen_stops=0,
        needs_point=lambda ticket: False,
        rules=made_up.ledger.rules,
    )
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: dead_pid)
        claim = claims.claim()
    ledger = Ledger(made_up.database, made_up.stored.study_id, owner, made_up.ledger.rules)
    ledger.start(claim, made_up.row(width=4, lr=0.1))
    return ledger, claim


def test_a_dead_owner_is_noted_and_its_trial_freed(doctor, made_up, held_by_the_dead, dead_pid):
    ran = doctor()
    assert ran.code == 0
    assert f"trial 1 (ticket 2) belongs to process {dead_pid}, which is gone" in ran.out
    ran = doctor("--repair")
    assert ran.code == 0
    assert "repaired: trial 1 (ticket 2): freed" in ran.out
    assert queries.all_tickets(made_up.database, 1)[1].state == "paused"
    assert made_up.claim().ticket == 2, "nobody waits for the lease of an hour"


def test_an_owner_whose_lease_moves_is_alive_whatever_its_process_number(
    doctor, made_up, held_by_the_dead, monkeypatch
):
    """A container has this host's name, and processes of its own."""
    ledger, claim = held_by_the_dead
    monkeypatch.setattr("time.sleep", lambda seconds: ledger.renew(claim))
    ran = doctor("--repair")
    assert "repaired" not in ran.out
    assert queries.all_tickets(made_up.database, 1)[1].state == "running"


def test_a_living_owner_is_no_note(doctor, made_up, complete):
    complete(0.5, 0.9, 0.7)
    made_up.start()
    assert doctor().out.count("\n") == 1


def test_what_a_second_look_does_not_find_is_no_problem(doctor, folder, finished, monkeypatch):
    """A worker ends its trial, and removes its files a moment later."""

    def tidy(seconds: float) -> None:
        folder.clean_up(set(range(6)), winners=[0])

    monkeypatch.setattr("time.sleep", tidy)
    assert doctor().code == 0


def test_a_winner_that_was_declared_invalid_leaves_no_damage(doctor, made_up, complete, folder):
    """Its weights wait for an undo; those of the next best were never kept: nobody is to blame."""
    for value in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4):
        complete(value, value, value)
    folder.clean_up(set(range(6)), winners=[0])  # as the last worker does
    assert doctor().code == 0
    validity.invalidate(made_up.database, made_up.stored.study_id, 1, "wrong labels")
    ran = doctor()
    assert (ran.code, "left over" in ran.out) == (0, False)
    assert "the weights of trial 1 don't exist: it became the best when" in ran.out
    validity.reinstate(made_up.database, made_up.stored.study_id, 1, made_up.study.goals)
    ran = doctor()
    assert (ran.code, "don't exist" in ran.out) == (0, False)
