"""Compares a study's files with those that the ledger names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch

from hpsearch.durable_files import UNFINISHED
from hpsearch.errors import CheckpointError, RunsUnreachable
from hpsearch.results.consistency.facts import Facts
from hpsearch.results.consistency.rule import Finding, name_of
from hpsearch.results.kept_weights import weights_kept
from hpsearch.results.ranking import best
from hpsearch.results.records import TrialRecord
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger import queries
from hpsearch.search.ledger.events import EventKind
from hpsearch.search.ledger.queries import Ticket
from hpsearch.search.ledger.types import CheckpointRef
from hpsearch.workers.owners import host_of, this_host
from hpsearch.workers.trial.run_folder import BEST_WEIGHTS, CHECKPOINTS, RunFolder, best_weights


@dataclass(frozen=True, kw_only=True)
class ForgetCheckpoint:
    """Let the ledger name the newest usable checkpoint instead of a bad one."""

    ticket: int
    bad: str
    #: ``None``: the trial starts again at epoch 0.
    instead: CheckpointRef | None


@dataclass(frozen=True, kw_only=True)
class RemoveFiles:
    """Remove files that nothing will read again."""

    #: Below the study's folder.
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FileFinding:
    """A fault of files, and its repair; ``None``: there is none."""

    finding: Finding
    repair: ForgetCheckpoint | RemoveFiles | None


@dataclass(frozen=True, kw_only=True)
class FilesLook:
    """The result of a check of the files."""

    findings: tuple[FileFinding, ...]
    #: Sentences about what couldn't be checked, or needs no action.
    notes: tuple[str, ...]
    #: The number of files that were read and are intact.
    whole: int


def list_files(folder: RunFolder) -> dict[int, list[str]]:
    """Return trial number -> names of the files that hpsearch wrote; others are ignored.

    Raises:
        RunsUnreachable: The object store can't be reached.
    """
    names: dict[int, list[str]] = {}
    for name in folder.files.sizes():
        trial, _, file = name.partition("/")
        number = trial.removeprefix("trial-")
        if trial != number and number.isdecimal() and _is_ours(file):
            names.setdefault(int(number), []).append(name)
    return names


def look_at_files(
    facts: Facts, folder: RunFolder, files_by_trial: dict[int, list[str]]
) -> FilesLook:
    """Compare the files that this host sees with the ledger's rows.

    Args:
        facts: The rows, read after ``files_by_trial``, so that the ledger knows every trial that
            has a file.
        folder: The study's files.
        files_by_trial: What ``list_files`` returned.

    Raises:
        RunsUnreachable: The object store can't be reached.
    """
    if not folder.files.exist():
        return _without_folder(facts, folder)
    findings: list[FileFinding] = []
    notes: list[str] = []
    whole = 0
    for ticket in facts.tickets:
        if ticket.state.is_finished or ticket.checkpoint is None:
            continue
        problem = _damage(folder, _checkpoint_of(ticket))
        if problem is None:
            whole += 1
        elif problem == _MISSING and (host := _elsewhere(facts, ticket, folder)):
            notes.append(
                f"the checkpoint of {name_of(ticket)} was written on {host}: check it there"
            )
        else:
            findings.append(_bad_checkpoint(facts, ticket, folder, problem))
    for outcome in _winners(facts, folder):
        if isinstance(outcome, FileFinding):
            findings.append(outcome)
        elif outcome:
            notes.append(outcome)
        else:
            whole += 1
    findings += _left_over(facts, files_by_trial)
    return FilesLook(findings=tuple(findings), notes=tuple(notes), whole=whole)


_MISSING = "is missing"


def _without_folder(facts: Facts, folder: RunFolder) -> FilesLook:
    """Add a note if the study has files, but not here: most likely ``--runs`` names another."""
    tickets = [
        ticket for ticket in facts.tickets if ticket.checkpoint and not ticket.state.is_finished
    ]
    if not tickets and best(facts.record) is None:
        return FilesLook(findings=(), notes=(), whole=0)
    note = (
        f"{folder.files.where()} doesn't exist here, so no file was checked; give the study's "
        "--runs folder"
    )
    return FilesLook(findings=(), notes=(note,), whole=0)


def _checkpoint_of(ticket: Ticket) -> CheckpointRef:
    return CheckpointRef(
        key=str(ticket.checkpoint),
        sha256=str(ticket.checkpoint_sha256),
        epoch=ticket.checkpoint_epoch or 0,
    )


def _damage(folder: RunFolder, reference: CheckpointRef) -> str | None:
    """Return what is wrong with a checkpoint; ``None`` if it is the file that was written."""
    try:
        sha256 = folder.files.sha256(folder.name_of(reference))
    except CheckpointError:
        return "isn't a file of the trial"
    except FileNotFoundError:
        return _MISSING
    except RunsUnreachable:
        raise
    except OSError as error:
        return f"can't be read ({error.strerror or error})"
    if sha256 == reference.sha256:
        return None
    return "isn't the file that was written: its SHA-256 differs"


def _elsewhere(facts: Facts, ticket: Ticket, folder: RunFolder) -> str | None:
    """Return the host that wrote the ticket's checkpoint; ``None`` if it must be seen here."""
    for event in facts.log(ticket.ticket):
        if event.kind == EventKind.CHECKPOINT and event.detail.get("key") == ticket.checkpoint:
            return _other_host(event.owner, folder)
    return None


def _other_host(owner: str | None, folder: RunFolder) -> str | None:
    host = host_of(owner)
    return None if folder.is_shared or host == this_host() else host


def _bad_checkpoint(facts: Facts, ticket: Ticket, folder: RunFolder, problem: str) -> FileFinding:
    references = queries.checkpoints_in(facts.log(ticket.ticket))
    older = [reference for reference in references if reference.key != ticket.checkpoint]
    usable = next((reference for reference in older if _damage(folder, reference) is None), None)
    goes_on = "epoch 0" if usable is None else f"epoch {usable.epoch}"
    return FileFinding(
        finding=Finding(
            rule="checkpoint",
            where=name_of(ticket),
            what=f"its checkpoint {ticket.checkpoint} {problem}",
            means=f"the next worker finds this and continues from {goes_on}",
        ),
        repair=ForgetCheckpoint(ticket=ticket.ticket, bad=str(ticket.checkpoint), instead=usable),
    )


def _winners(facts: Facts, folder: RunFolder) -> Iterator[FileFinding | str | None]:
    for winner in weights_kept(facts.record):
        if winner.number is not None:
            yield _weights_of(facts, folder, winner, winner.number)


def _weights_of(
    facts: Facts, folder: RunFolder, winner: TrialRecord, number: int
) -> FileFinding | str | None:
    """Return what is wrong with a winner's weights, or a note; ``None`` if they are intact."""
    if not folder.files.has(best_weights(number)):
        ends = [event for event in facts.log(winner.ticket) if event.kind == EventKind.COMPLETE]
        host = _other_host(ends[-1].owner, folder) if ends else None
        if host is not None:
            return f"the winner's weights (trial {number}) were written on {host}: check them there"
        if any(
            event.kind in (EventKind.INVALIDATED, EventKind.REINSTATED) for event in facts.events
        ):
            return (
                f"the weights of trial {number} don't exist: it became the best when a trial was "
                "declared invalid, or valid again; `hpsearch train` makes them again from its "
                "exported config"
            )
    try:
        folder.load_best(number)
    except CheckpointError as error:
        finding = Finding(
            rule="winner's weights",
            where=f"trial {number} (ticket {winner.ticket})",
            what=str(error),
            means=(
                "its metrics are not affected; `hpsearch export` and `hpsearch train` make the "
                "weights again"
            ),
        )
        return FileFinding(finding=finding, repair=None)
    return None


def _left_over(facts: Facts, files_by_trial: dict[int, list[str]]) -> Iterator[FileFinding]:
    """Yield files of trials that have ended. While a study runs, its workers remove them."""
    if not facts.record.is_finished:
        return
    winners = {trial.number for trial in weights_kept(facts.record)}
    # Weights of invalid trials stay until the next clean-up, in case the trial is reinstated
    winners |= {ticket.number for ticket in facts.tickets if ticket.state is TicketState.INVALID}
    tickets = {ticket.number: ticket for ticket in facts.tickets if ticket.number is not None}
    for number, files in sorted(files_by_trial.items()):
        if number in winners:
            files = [name for name in files if name != best_weights(number)]
        if not files:
            continue
        where = name_of(tickets[number]) if number in tickets else f"trial {number}"
        finding = Finding(
            rule="left over",
            where=where,
            what=f"{_count(files)} that are no longer used: "
            + ", ".join(name.partition("/")[2] for name in files[:5]),
            means="they only use disk space",
        )
        if number not in tickets:
            finding = replace(
                finding,
                what=f"{_count(files)} of a trial that isn't in the ledger",
                means="the database may be an older copy; the files are not removed",
            )
        repair = RemoveFiles(names=tuple(files)) if number in tickets else None
        yield FileFinding(finding=finding, repair=repair)


def _count(files: list[str]) -> str:
    return "1 file" if len(files) == 1 else f"{len(files)} files"


def _is_ours(name: str) -> bool:
    return name == BEST_WEIGHTS or fnmatch(name, CHECKPOINTS) or fnmatch(name, UNFINISHED)
