"""The output of ``hpsearch status --json``: summary, audit, confirmation, ablations, prior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hpsearch.errors import StorageError
from hpsearch.reporting.pruning_audit import read_pruning_audit
from hpsearch.results.ablation.sentences import answers, effect_sentence
from hpsearch.results.ablation.stored import read_results
from hpsearch.results.confirmation.stored import (
    invalid_finalists,
    newer_trials,
    newest,
    progress_of,
)
from hpsearch.results.deadline.sentence import deadline_state
from hpsearch.results.interim import read_interim
from hpsearch.results.planned import parent_of
from hpsearch.results.ranking import front, knee
from hpsearch.results.records import StudyRecord
from hpsearch.results.summary import summary
from hpsearch.results.winner import confirmed_winner
from hpsearch.search import prior_results
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger.studies import end_reason
from hpsearch.search.starts import RANDOM_EVERY
from hpsearch.search.trust import read_starts, trust_in
from hpsearch.study_file.sections import NO_HELP


def status_of(database: Database, record: StudyRecord) -> dict[str, Any]:
    """Return the JSON-like status of a study; it has ``confirmation`` only if there is one."""
    audit = read_pruning_audit(database, record)
    status = with_confirmed_best(database, record, summary(record))
    return {
        **status,
        "pruning": audit and audit.as_json(),
        **_confirmation(database, record),
        **_interim(database, record, status["best"]),
        **_end(database, record),
        **_deadline(database, record),
        **_ablations(database, record),
        **_knowledge(database, record),
        **_prior(database, record),
    }


def with_confirmed_best(
    database: Database, record: StudyRecord, status: dict[str, Any]
) -> dict[str, Any]:
    """Return a summary with the confirmed winner as ``best``, if there is one.

    Its value is the mean over its fresh seeds. ``hpsearch.open_study(..).best`` is the same trial.

    Args:
        database: The study's database.
        record: The study with its trials.
        status: The summary.
    """
    confirmation = newest(database, record.study.name)
    if confirmation is None or parent_of(record.study) is not None:
        return status
    now = progress_of(confirmation)
    if not now.finished or now.winner is None:
        return status
    if now.winner in invalid_finalists(record, confirmation):
        return status
    # Imported late: statistics take long to import
    from hpsearch.results.confirmation.reading import read_verdict

    winner = confirmed_winner(record, read_verdict(database, record, confirmation))
    if winner is None:
        return status
    best = {
        "number": winner.trial,
        "value": winner.value,
        "params": record.values(record.trial(winner.trial).params),
        "confirmed": True,
    }
    return {**status, "best": best, "winner": winner.sentence, "against": winner.against}


def winners(database: Database, record: StudyRecord) -> dict[int, str]:
    """Return ticket -> mark: the best seen, the confirmed winner, on the front."""
    order = front(record)
    if record.goals.is_multi_objective:
        nearest = knee(record)
        return {
            trial.ticket: "knee of the front" if trial == nearest else "front" for trial in order
        }
    marks = {trial.ticket: "best seen" for trial in order}
    best = with_confirmed_best(database, record, {"best": None})["best"]
    if best is not None:
        marks[record.trial(best["number"]).ticket] = "confirmed winner"
    return marks


def _end(database: Database, record: StudyRecord) -> dict[str, Any]:
    """Return why the search ended by itself; empty if it didn't."""
    reason = end_reason(database, record.study.study_id)
    return {} if reason is None else {"ended_by_itself": reason}


def _deadline(database: Database, record: StudyRecord) -> dict[str, Any]:
    """Return the state of the search's deadline; empty if it has none."""
    state = deadline_state(database, record)
    return {} if state is None else {"deadline": state.to_json()}


def _knowledge(database: Database, record: StudyRecord) -> dict[str, Any]:
    """Return the sources of the sampler's prior results; empty if it has none."""
    sources = prior_results.sources(database, record.study.study_id)
    rows = [
        {"source": source.name, "results": source.results, "at": source.at} for source in sources
    ]
    return {"knowledge": rows} if rows else {}


def _interim(database: Database, record: StudyRecord, best: Any) -> dict[str, Any]:
    """Return what the search would answer if it ended now.

    Empty if there is no forecast, or if the winner (``best``) is confirmed.
    """
    forecast = None if best and best["confirmed"] else read_interim(database, record)
    if forecast is None:
        return {}
    sentences = forecast.sentences(record.objective.metric, record.study.epochs_per_trial)
    return {"interim": {**asdict(forecast), "sentences": list(sentences)}}


def _prior(database: Database, record: StudyRecord) -> dict[str, Any]:
    """Return the results of the study's prior; empty if it has none, or draws nothing."""
    if parent_of(record.study) is not None:
        return {}
    prior = read_prior(database, record)
    return {} if prior is None else {"prior": prior}


def _ablations(database: Database, record: StudyRecord) -> dict[str, Any]:
    """Return the state and the decided answers of the search's ablations; empty without one."""
    if parent_of(record.study) is not None:
        return {}
    rows: list[dict[str, Any]] = []
    for study, result in read_results(database, record.study.name):
        state = {
            "study": study,
            "trial": result.spec.trial,
            "finished": result.progress.finished,
            "trainings": result.ended,
            "planned": result.spec.trainings,
            "comparisons": len(result.spec.contrasts),
            "answers": answers(result),
            "effects": [effect_sentence(effect, result.spec) for effect in result.effects],
        }
        rows.append(state)
    return {"ablations": rows} if rows else {}


def _confirmation(database: Database, record: StudyRecord) -> dict[str, Any]:
    """Return the state of the search's newest confirmation; empty if there is none."""
    confirmation = newest(database, record.study.name)
    if confirmation is None:
        return {}
    now = progress_of(confirmation)
    mean = interval = damaged = gap = None
    if now.finished and now.winner is not None:
        # Imported late: statistics take long to import
        from hpsearch.results.confirmation.reading import read_verdict
        from hpsearch.results.confirmation_gap import read_test_gap

        try:
            verdict = read_verdict(database, record, confirmation)
            mean, interval = verdict.confirmed, verdict.over_seeds_and_images
            gap = read_test_gap(database, record, verdict)
        except StorageError as error:
            damaged = str(error)
    content = {
        "study": confirmation.study.name,
        "finished": now.finished,
        "trainings": confirmation.counts.finished,
        "winner": now.winner,
        "value": mean,
        "interval": None if interval is None else [interval.low, interval.high],
        "newer_trials": newer_trials(record, confirmation),
    }
    if gap is not None:
        content["test_outside_confirmed"] = gap.to_json()
    if damaged is not None:
        content["damaged"] = damaged
    if invalid := invalid_finalists(record, confirmation):
        content["invalid"] = invalid
    return {"confirmation": content}


def read_prior(database: Database, record: StudyRecord) -> dict[str, Any] | None:
    """Return how the prior's starts compare with random ones, JSON-like; ``None`` without a prior.

    ``better_than_random`` is null before there are enough of both; ``is_off`` is true if new starts
    are random because the prior's were worse, and ``weight`` is the share of new starts that the
    prior chooses.
    """
    name = prior_in(record.study.document)
    if name == NO_HELP["prior"]:
        return None
    maximize = record.objective.direction == "maximize"
    study_id = record.study.study_id
    trust = trust_in(
        database.read(lambda connection: read_starts(connection, study_id, maximize=maximize))
    )
    return {
        "name": name,
        "starts": trust.by_prior,
        "random_starts": trust.random,
        "better_than_random": trust.share,
        "is_off": trust.is_lost,
        "weight": 0.0 if trust.is_lost else 1 - 1 / RANDOM_EVERY,
    }


def prior_in(document: Mapping[str, Any]) -> str:
    """Return the name of a stored study's prior, ``none`` for none."""
    name: str = (document.get("search") or NO_HELP)["prior"]
    return name
