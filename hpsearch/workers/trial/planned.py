"""What a worker needs of a plan: the configuration of a ticket, and the next round."""

from __future__ import annotations

from collections.abc import Callable

from optuna.distributions import IntDistribution

from hpsearch.failpoints import FailPoint, hit
from hpsearch.results.ablation.looks import take_look
from hpsearch.results.planned import plan_of
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.history import distribution_of
from hpsearch.search.ledger import studies
from hpsearch.search.suggest import DrawnTrial
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.trial_config import CONFIRM_SEED


def planned_trial(database: Database, study: StudyFile, ticket: int) -> DrawnTrial:
    """Return the configuration of a planned study's ticket, with a fresh seed.

    It is the same for every worker. The seed is a parameter like any other, so the trial's row
    determines its training.

    Args:
        database: The database of the planned study: a confirmation or an ablation.
        study: The study file of the planned study.
        ticket: The number of a planned ticket, from 1.
    """
    plan = plan_of(read_study(database, study.name))
    entry = plan.trainings[ticket - 1]
    params = plan.params[entry.trial]
    parameters = study.space.parameters()
    return DrawnTrial(
        params={**params, CONFIRM_SEED: plan.seeds_before + entry.seed},
        distributions={
            **{path: distribution_of(parameters[path]) for path in params},
            CONFIRM_SEED: IntDistribution(1, plan.last_seed),
        },
        config=study.space.freeze(params).config,
        from_try_first=False,
    )


def extend_budget_from_plan(
    database: Database, name: str, shorten: Callable[[], object] = lambda: None
) -> bool:
    """Raise a planned study's budget to what is planned by now; return whether work is left.

    A round is planned when the one before it has ended, so a worker that finds nothing to claim
    calls this. Several workers may call it at once: the plan is the same for all of them, and the
    budget only grows.

    Args:
        database: The planned study's database.
        name: Its name.
        shorten: Called before another round begins: it may change the seeds, for a deadline.
    """
    shorten()
    take_look(database, name)
    record = read_study(database, name)
    plan = plan_of(record)
    if len(plan.trainings) > record.study.trial_budget:
        studies.raise_budget(database, record.study.study_id, len(plan.trainings))
        hit(FailPoint.ROUND_PLANNED)
    return not plan.finished
