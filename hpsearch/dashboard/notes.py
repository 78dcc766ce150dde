"""The notes that the dashboard shows beside a study and each of its trials (Markdown).

optuna-dashboard renders Markdown without HTML. Names, errors and parameter values are untrusted
text, so they are escaped in Markdown, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from hpsearch.dashboard.study_view import StudyView
from hpsearch.dashboard.thresholds import Thresholds
from hpsearch.metrics import MetricFormat
from hpsearch.results.error_text import first_line, shorten
from hpsearch.results.markdown import block, words
from hpsearch.results.planned import parent_of
from hpsearch.results.question import introduction
from hpsearch.results.ranking import knee
from hpsearch.results.records import TrialRecord
from hpsearch.results.summary import counts_of
from hpsearch.results.winner import basis_of, winner_of
from hpsearch.search.database.tables import TicketState
from hpsearch.study_file.portable import without_home

#: Most characters of an error; `hpsearch show` shows the whole of it.
_ERROR = 1500


def study_note(view: StudyView) -> str:
    """Return the study's note: description, state, winner, and commands to reproduce it."""
    record = view.record
    name = record.study.name
    parts = [f"## {words(name)}"]
    if view.test_gap is not None:
        # First, as it is the most important
        reasons = "\n".join(f"- {words(reason)}" for reason in view.test_gap.reasons)
        parts.append(f"**{words(view.test_gap.headline)}** Likely reasons:\n\n{reasons}")
    if description := introduction(record.study.document):
        parts.append(words(description))
    parts.append(f"**{words(state_line(view))}**")
    parts += [f"**Warning**: {words(warning)}." for warning in record.warnings]
    parts.append(words(about_winner(view)))
    if view.interim:
        parts.append(words(" ".join(view.interim)))
    if (parent := parent_of(record.study)) is not None:
        parts.append(f"[Report of the search](/report/{parent.search})")
        return "\n\n".join(parts)
    parts.append(f"[Report](/report/{name})")
    parts.append("**To reproduce**\n\n" + block("\n".join(commands(view))))
    return "\n\n".join(parts)


def commands(view: StudyView) -> list[str]:
    """Return the commands that continue, confirm, export and repeat a search."""
    name = view.record.study.name
    several = view.record.goals.is_multi_objective
    lines = [f"hpsearch launch --study {name}   # the study's file: continues where it stopped"]
    if view.best:
        if not view.is_confirmed and not several:
            lines.append(f"hpsearch confirm --study {name}   # gives its confirmed value")
        pick = " --pick knee" if several else ""
        lines += [f"hpsearch export --study {name}{pick} --out best.yaml"]
        lines += ["hpsearch train best.yaml   # trains it again, to the same metrics"]
    return lines


def state_line(view: StudyView) -> str:
    """Return the progress of the study, in one line."""
    record = view.record
    counts = counts_of(record.counts)
    total, of = counts.pop("total"), record.study.trial_budget
    if waiting := counts.pop("waiting", 0):
        counts["paused"] -= waiting
        counts["paused at a rung"] = waiting
    text = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    state = "finished" if record.is_finished else f"{record.counts.finished} trials have ended"
    return f"{state}: {total} of {of} trials begun ({text or 'none yet'})"


def winner_line(view: StudyView) -> str:
    """Return the best trial, its value and how reliable that is, in one line."""
    record = view.record
    if parent_of(record.study) is not None:
        return (
            "The search shows the winner: the best of these trainings only has the luckiest seed."
        )
    if record.goals.is_multi_objective:
        front = ", ".join(map(str, view.best[:20]))
        more = ", .." if len(view.best) > 20 else ""
        nearest, names = knee(record), ", ".join(record.goals.objectives)
        text = "" if nearest is None else f"; its knee is trial {nearest.number}"
        return f"Front of {names}: trials {front or 'none yet'}{more}{text}."
    if not view.best:
        return "No complete trial satisfies the constraints yet."
    winner = winner_of(record, view.verdict)
    outside = "" if view.test_gap is None else " The test value is outside the interval."
    return "" if winner is None else f"{' '.join(winner.sentences)}{outside}"


def about_winner(view: StudyView) -> str:
    """Return ``winner_line``, and what the value is based on."""
    record, verdict = view.record, view.verdict
    line = winner_line(view)
    if (parent := parent_of(record.study)) is not None:
        trainings = "its finalists"
        if parent.kind == "ablation":
            trainings = "its winner and configurations that differ from it in one setting"
        return (
            f"{line} This is the {parent.kind} of the search {parent.search}: {trainings}, trained "
            "again with fresh seeds. The result is in that study's note and report."
        )
    if verdict is None:
        return line
    if not view.is_confirmed:
        if verdict.winner_is_invalid:
            reason = "its winner was declared invalid in the search"
        else:
            reason = "every finalist failed" if verdict.finished else "it isn't finished"
        return f"{line} There is a confirmation, {view.confirmation}, but {reason}."
    in_search = (
        f"In the search it showed {_value(verdict.metric, verdict.winner_seen)}; the best seen of "
        f"{verdict.complete} complete trials was {_value(verdict.metric, verdict.best_seen)}, an "
        "optimistic value."
    )
    return f"{line} {basis_of(verdict, view.confirmations)} {in_search}"


def trial_note(
    view: StudyView,
    trial: FrozenTrial,
    thresholds: Thresholds,
    pictures: Sequence[tuple[str, str]] = (),
    overfits_from: int | None = None,
) -> str:
    """Return a trial's note.

    Args:
        view: The trial's study.
        trial: The trial.
        thresholds: Explains why trials of this study were pruned.
        pictures: Title and address of each picture in the note.
        overfits_from: The first epoch of overfitting; ``None`` if it doesn't overfit.
    """
    record = view.by_trial.get(trial._trial_id)
    if record is None:
        return _infeasible(trial)
    lines = [_state(view, record, trial, thresholds)]
    lines += [f"**Warning**: {words(flaw)}." for flaw in record.flaws]
    lines += _measurements(view, record, overfits_from)
    if record.attempts > 1:
        lines.append(f"{record.attempts} attempts: a worker was stopped, or died, between them.")
    for note in ("out_of_memory",):
        if note in trial.user_attrs:
            lines.append(words(trial.user_attrs[note]))
    if (epoch := view.kept_by_audit.get(record.ticket)) is not None:
        lines.append(
            f"Kept by the pruning audit: the pruner would have stopped it at epoch {epoch}."
        )
    if record.number in view.weights:
        lines.append("Its best weights are kept in its folder, `best.pt`.")
    if record.error:
        error = record.error.strip()
        cut = shorten(without_home(error), _ERROR, beginning=_ERROR // 3)
        lines.append(f"Last error: {words(first_line(error))}\n\n{block(cut)}")
    lines += [f"![{words(title)}]({address})" for title, address in pictures]
    study = view.record.study.name
    lines.append(block(f"hpsearch show --study {study} {record.number}"))
    return "\n\n".join(lines)


def _state(
    view: StudyView, trial_record: TrialRecord, trial: FrozenTrial, thresholds: Thresholds
) -> str:
    record = view.record
    if trial_record.state is TicketState.COMPLETE:
        rank = None if trial_record.number is None else view.rank.get(trial_record.number)
        if rank is None:
            violations = "; ".join(record.goals.violated(trial_record.metrics))
            return f"**Complete**, no rank: {words(violations)}."
        place = f"**Complete**, rank {rank} of {len(view.rank)}"
        is_best = trial_record.number in view.best
        if record.goals.is_multi_objective:
            nearest = knee(record)
            at_knee = nearest is not None and nearest.number == trial_record.number
            front = "on the front, at its **knee**" if at_knee else "on the front"
            return f"**Complete**, {front if is_best else 'not on the front'}."
        if view.is_confirmed and is_best:
            place += ", **confirmed winner**"
        return f"{place}."
    if trial_record.state is TicketState.PRUNED:
        reason = thresholds.explain(trial_record, trial)
        return f"**Pruned** after epoch {trial_record.epochs_done}: {words(reason)}"
    if trial_record.invalid is not None:
        return (
            f"**Invalid** (it was {trial_record.invalid.before.value}): "
            f"{words(trial_record.invalid.reason)}\n\nIts value isn't used; Optuna shows it as a "
            "failed trial."
        )
    if trial_record.state is TicketState.INVALID:
        return "**Invalid**; its reason can't be read (`hpsearch doctor` shows the row)."
    if trial_record.state is TicketState.FAILED:
        return f"**Failed** after {trial_record.epochs_done} epochs."
    if trial_record.waits:
        return (
            f"**Paused** at the rung of epoch {trial_record.rung}: it continues from there if it "
            "is among the best, and ends when the study's budget is used."
        )
    done = max(trial.intermediate_values, default=0)
    of = record.study.epochs_per_trial
    next_step = (
        "a worker trains it"
        if trial_record.state is TicketState.RUNNING
        else "the next worker continues it"
    )
    return f"**{trial_record.state.value.capitalize()}**, epoch {done} of {of} done; {next_step}."


def _measurements(
    view: StudyView, trial_record: TrialRecord, overfits_from: int | None
) -> list[str]:
    if trial_record.value is None:
        return []
    metric = view.record.objective.metric
    lines = [
        f"{words(metric)}: {_value(metric, trial_record.last_value)} after the last epoch, best "
        f"{_value(metric, trial_record.best_value)} at epoch {trial_record.best_epoch}; "
        f"{trial_record.epochs_done} "
        f"epochs in {trial_record.compute_seconds:.3g} s."
    ]
    if trial_record.metrics:
        lines.append(_metrics_text(trial_record.metrics))
    if overfits_from is not None:
        lines.append(
            f"It overfits from epoch {overfits_from}: its validation loss rises while its "
            "training loss falls."
        )
    return lines


def _infeasible(trial: FrozenTrial) -> str:
    reason = trial.user_attrs.get("infeasible")
    if reason is None:
        return ""
    return (
        "**Can't be built**, so it was never trained and uses no budget: "
        f"{words(reason)}\n\nTicket {words(trial.user_attrs.get('ticket'))} drew another "
        "configuration."
    )


def _metrics_text(metrics: Mapping[str, Any]) -> str:
    return "; ".join(f"{words(name)} {_value(name, value)}" for name, value in metrics.items())


def _value(metric: str, value: float | None) -> str:
    return MetricFormat(metric).value(value)
