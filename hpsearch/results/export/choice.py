"""Which trial is exported: the confirmed winner, or the best seen, marked as unconfirmed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hpsearch.errors import UserError
from hpsearch.results.confirmation.reading import read_verdict
from hpsearch.results.confirmation.spec import spec_of
from hpsearch.results.confirmation.stored import (
    confirmations,
    kept_trainings,
    newest,
    trainings,
)
from hpsearch.results.confirmation.verdict import ConfirmationResult
from hpsearch.results.confirmation_gap import read_test_gap
from hpsearch.results.export import confirmed
from hpsearch.results.export.front_matter import read_license
from hpsearch.results.export.frozen import FrozenConfig, Retrained, export_trial
from hpsearch.results.planned import parent_of
from hpsearch.results.ranking import winner_or_pick
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.results.winner import Winner, basis_of, confirmed_winner
from hpsearch.search.database.storage import Database
from hpsearch.study_file.study import StudyFile


@dataclass(frozen=True, kw_only=True)
class Export:
    """The exported trial, and why it isn't the confirmed winner."""

    frozen: FrozenConfig
    #: The confirmation's verdict if the confirmed winner is exported; otherwise ``None``.
    verdict: ConfirmationResult | None
    #: How to get a confirmed winner; ``None`` if this is one, or a trial was named.
    advice: str | None

    @property
    def default_name(self) -> str:
        """The file of its frozen config if none is named."""
        study = self.frozen.document["provenance"]["study"]
        return f"{study}-trial-{self.frozen.trial.number}.yaml"

    def with_license(self, name: str | None) -> Export:
        """Return it under a license, which its frozen config and its model card record.

        Args:
            name: An identifier of the Hugging Face Hub, or any name; ``None`` for no license.

        Raises:
            UserError: The name has no letter or digit.
        """
        if name is None:
            return self
        document = dict(self.frozen.document)
        document["provenance"] = {**document["provenance"], "license": read_license(name)}
        return replace(self, frozen=replace(self.frozen, document=document))


def choose(
    database: Database,
    record: StudyRecord,
    load: Callable[[StudyRecord], StudyFile],
    *,
    number: int | None = None,
    pick: str | None = None,
    unconfirmed: bool = False,
) -> Export:
    """Freeze the confirmed winner of a search, or the best seen if there is none.

    Args:
        database: The search's database.
        record: The search.
        load: Returns the study file of a stored study.
        number: Number of a trial to freeze instead; ``None`` for the winner.
        pick: The point of the front in a study of several objectives (``ranking.pick``), since
            a confirmation chooses by one of them.
        unconfirmed: Whether to freeze the best seen instead.

    Raises:
        UserError: If there is nothing to export, or ``record`` is a confirmation or an ablation.
    """
    name = record.study.name
    if (parent := parent_of(record.study)) is not None:
        raise UserError(
            f"a search is exported, but {name!r} is the {parent.kind} of {parent.search!r}; run "
            f"`hpsearch export --study {parent.search}`, which takes the confirmed winner"
        )
    advice = None
    if number is None and (pick is not None or record.goals.is_multi_objective):
        picked = winner_or_pick(record, pick)
        number = None if picked is None else picked.number
    if number is None and not unconfirmed:
        confirmation = newest(database, name)
        if confirmation is None:
            advice = f"No fresh seed has confirmed it: run `hpsearch confirm --study {name}`"
        else:
            verdict = read_verdict(database, record, confirmation)
            if verdict.winner_is_invalid:
                advice = (
                    f"The confirmed winner, trial {verdict.winner}, was declared invalid: "
                    f"{verdict.invalid[verdict.winner or 0]}. Confirm the others: run "
                    f"`hpsearch confirm --study {name} --again`"
                )
            elif (winner := confirmed_winner(record, verdict)) is not None:
                return _export_winner(database, record, confirmation, verdict, winner, load)
            advice = advice or (
                "Its confirmation isn't finished: "
                if not verdict.finished
                else "In its confirmation every finalist failed: see "
            ) + (
                f"run `hpsearch confirm --study {name}`"
                if not verdict.finished
                else f"`hpsearch show --study {confirmation.study.name}`"
            )
    frozen = export_trial(database, record, load(record), number)
    return Export(frozen=frozen, verdict=None, advice=advice)


def _export_winner(
    database: Database,
    record: StudyRecord,
    confirmation: StudyRecord,
    verdict: ConfirmationResult,
    winner: Winner,
    load: Callable[[StudyRecord], StudyFile],
) -> Export:
    gap = read_test_gap(database, record, verdict)
    nth = len(confirmations(database, record.study.name))
    worth = " ".join([*winner.sentences, basis_of(verdict, nth)])
    retrained = Retrained(
        study=confirmation,
        file=load(confirmation),
        trial=_first_report(confirmation),
        summary=confirmed.confirmed_section(verdict, confirmation.study.name),
        worth=worth,
        gap=None if gap is None else gap.to_json(),
    )
    frozen = export_trial(database, record, load(record), winner.trial, retrained=retrained)
    return Export(frozen=frozen, verdict=verdict, advice=None)


def _first_report(confirmation: StudyRecord) -> TrialRecord:
    """Return the winner's training with the first of the report's seeds that didn't fail.

    It must not be the best of them: a choice by value would make that value optimistic.
    """
    tickets = {trial.ticket for trial in kept_trainings(confirmation)}
    seeds = spec_of(confirmation.study).report_seeds
    for entry, trial in sorted(trainings(confirmation).items(), key=lambda item: item[0].seed):
        if entry.seed in seeds and trial.ticket in tickets:
            return trial
    raise UserError(
        f"confirmation {confirmation.study.name!r} has no training of its winner with a report "
        f"seed; `hpsearch show --study {confirmation.study.name}` shows what failed"
    )
