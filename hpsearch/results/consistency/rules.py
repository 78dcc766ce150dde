"""All rules about a study's rows."""

from __future__ import annotations

from hpsearch.results.consistency import epochs, tickets, trials
from hpsearch.results.consistency.rule import Rule

RULES = (
    Rule(
        name="readable",
        check=trials.readable,
        means="the row is damaged; everything else is read and checked without it",
    ),
    Rule(
        name="one data set",
        check=trials.one_data_set,
        means="the images were changed between the two; values of one side can't be compared with "
        "the other's: `hpsearch invalidate` takes a side out of the ranking",
    ),
    Rule(
        name="budget",
        check=tickets.within_budget,
        means="more was trained than was asked for; no result is wrong",
    ),
    Rule(
        name="tickets",
        check=tickets.numbered_without_gap,
        means="rows were deleted by something else than hpsearch; a trial's results are lost",
    ),
    Rule(
        name="one end",
        check=tickets.one_ending,
        means="the trial's result may be another than the one that was told; don't rank it",
    ),
    Rule(
        name="state",
        check=tickets.state_as_logged,
        means="the ticket was changed by something else than hpsearch; a worker may wait for it",
    ),
    Rule(
        name="invalid",
        check=tickets.invalid_as_logged,
        means="the trial was marked by something else than hpsearch; nobody can tell why",
    ),
    Rule(
        name="one owner",
        check=tickets.one_owner_at_a_time,
        means="two workers trained the trial at one time; its curve may mix both",
    ),
    Rule(
        name="late write",
        check=tickets.no_late_write,
        means="a worker that had lost the trial wrote to it; its curve may mix two runs",
    ),
    Rule(
        name="epochs",
        check=epochs.each_epoch_once,
        means="the trial's curve has a hole, or an epoch was counted twice; don't rank it",
    ),
    Rule(
        name="totals",
        check=epochs.totals_agree,
        means="the ranking uses a value that the curve doesn't show; compare `hpsearch show`",
    ),
    Rule(
        name="decisions",
        check=epochs.decided_once,
        means="a pruning decision wasn't followed; the trial ran longer or shorter than its rule",
    ),
    Rule(
        name="reported values",
        check=epochs.reported_values_agree,
        means="the dashboard and samplers see another curve than the report",
    ),
    Rule(
        name="numbers",
        check=trials.numbers_in_order,
        means="Optuna's rows were added or deleted by something else; numbers name two trials",
    ),
    Rule(
        name="trial rows",
        check=trials.every_trial_has_its_row,
        means="the dashboard and samplers don't know this trial, or take it for another",
    ),
    Rule(
        name="foreign rows",
        check=trials.every_row_has_its_trial,
        means="something else than hpsearch wrote into the study; samplers learn from it",
    ),
    Rule(
        name="both sides",
        check=trials.states_and_values_agree,
        means="the dashboard and samplers see another result than the report",
    ),
)
