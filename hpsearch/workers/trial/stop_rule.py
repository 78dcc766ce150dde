"""``budget: {stop: auto}``: the search ends when little is left to gain.

Before a worker claims a trial, it compares the gain that the rest of the budget is expected to
bring with the smallest difference that a confirmation can tell apart (``results.interim``). If the
gain is smaller, it lowers the budget to the trials that have begun. These are trained to their
ends as always, and every worker on every host finds the new budget at its next claim.
"""

from __future__ import annotations

from hpsearch.formatting import count_noun
from hpsearch.metrics import MetricFormat
from hpsearch.results.interim import InterimAnswer, read_interim
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.studies import StoredStudy

#: Trials that must have begun: with fewer, too little is known of what more would bring.
FEWEST_TRIALS = 10

#: The next look is after this share of more trials: it reads all trials.
_NEXT_LOOK = 0.05


class StopRule:
    """Ends one study's budget for a worker.

    Args:
        database: The study's database.
        study: The search.
        is_on: Whether the study file asks for it.
    """

    def __init__(self, database: Database, study: StoredStudy, *, is_on: bool) -> None:
        self._database = database
        self._study = study
        self._is_on = is_on
        self._next_look = FEWEST_TRIALS
        # Counting reads all trials, so later the claimed tickets show it
        self._begun = queries.counts(database, study.study_id).total if is_on else 0

    def saw(self, ticket: int) -> None:
        """Note the number of a claimed ticket: so many trials have begun at least."""
        self._begun = max(self._begun, ticket)

    def apply(self) -> None:
        """Lower the budget if the rest of it isn't worth its time."""
        begun = self._begun
        if not self._is_on or begun < self._next_look:
            return
        self._next_look = begun + max(1, int(begun * _NEXT_LOOK))
        record = read_study(self._database, self._study.name)
        interim = read_interim(self._database, record)
        if interim is not None and interim.trials_left and interim.gain_left < interim.resolution:
            reason = sentence(interim, record.objective.metric)
            studies.end_budget(self._database, self._study.study_id, reason)


def sentence(answer: InterimAnswer, metric: str) -> str:
    """Return why a search ended by itself."""
    form = MetricFormat(metric)
    return (
        f"The search ended by itself: {count_noun(answer.trials_left, 'more trial')} would bring "
        f"about {form.width(answer.gain_left)}, and a confirmation can distinguish "
        f"{form.width(answer.resolution)}."
    )
