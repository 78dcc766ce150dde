"""All rules about a study's rows."""

from __future__ import annotations

from hpsearch.results.consistency import epochs, tickets, trials
from hpsearch.results.consistency.rule import Rule

RULES = (
    Rule(
        name="readable",
        check=trials.readable,
        means="the row is damaged; everything else can be read and checked without it",
    ),
    Rule(
        name="one data set",
        check=trials.one_data_set,
        means="the images were changed between the two; values of one side can't be compared with "
        "the other's: `hpsearch invalidate` removes one side from the ranking",
    ),
    Rule(
        name="budget",
        check=tickets.within_budget,
        means="more was trained than the budget; no result is wrong",
    ),
    Rule(
        name="tickets",
        check=tickets.numbered_without_gap,
        means="another program deleted rows; a trial's results are lost",
    ),
    Rule(
        name="one end",
        check=tickets.one_ending,
        means="the trial's result may differ from the one in its event log; don't rank it",
    ),
    Rule(
        name="state",
        check=tickets.state_as_logged,
        means="another program changed the ticket; a worker may wait for it",
    ),
    Rule(
        name="invalid",
        check=tickets.invalid_as_logged,
        means="another program marked the trial; the reason is unknown",
    ),
    Rule(
        name="one owner",
        check=tickets.one_owner_at_a_time,
        means="two workers trained the trial at one time; its curve may contain epochs of both",
    ),
    Rule(
        name="late write",
        check=tickets.no_late_write,
        means="a worker that had lost the trial wrote to it; its curve may contain epochs of two "
        "runs",
    ),
    Rule(
        name="epochs",
        check=epochs.each_epoch_once,
        means="the trial's curve misses an epoch, or counts one twice; don't rank it",
    ),
    Rule(
        name="totals",
        check=epochs.totals_agree,
        means="the ranking uses a value that isn't in the curve; compare with `hpsearch show`",
    ),
    Rule(
        name="decisions",
        check=epochs.decided_once,
        means="a pruning decision wasn't followed; the trial ran longer or shorter than the pruner "
        "decided",
    ),
    Rule(
        name="reported values",
        check=epochs.reported_values_agree,
        means="the dashboard and samplers use another curve than the report",
    ),
    Rule(
        name="numbers",
        check=trials.numbers_in_order,
        means="another program added or deleted Optuna's rows; a number may belong to two trials",
    ),
    Rule(
        name="trial rows",
        check=trials.every_trial_has_its_row,
        means="the dashboard and samplers don't have this trial, or confuse it with another",
    ),
    Rule(
        name="foreign rows",
        check=trials.every_row_has_its_trial,
        means="another program wrote into the study; samplers learn from it",
    ),
    Rule(
        name="both sides",
        check=trials.states_and_values_agree,
        means="the dashboard and samplers use another result than the report",
    ),
)
