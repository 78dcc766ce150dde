"""The searched parameters, read from the trials' rows without a study file or a plug-in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.search.database import optuna_rows as rows
from hpsearch.search.database.storage import Database
from hpsearch.search.database.stored_json import decode_distribution
from hpsearch.study_file.space import Choice, Parameter, Range
from hpsearch.study_file.trial_config import CONFIRM_SEED


@dataclass(frozen=True, kw_only=True)
class SearchedParameter:
    """One searched parameter."""

    path: str
    parameter: Parameter
    #: The branches in which it applies: path of the branch -> option; empty if it always applies.
    branch: Mapping[str, str]

    @property
    def is_log(self) -> bool:
        """Whether it was searched on a logarithmic scale."""
        return isinstance(self.parameter, Range) and self.parameter.log

    @property
    def is_number(self) -> bool:
        """Whether its values have an order and distances: a range, or a choice of numbers."""
        return isinstance(self.parameter, Range) or all(
            _is_number(label) for label in self.parameter.labels
        )

    def applies(self, params: Mapping[str, Any]) -> bool:
        """Whether a configuration has it."""
        return self.path in params


def read_parameters(database: Database, study_id: int) -> dict[str, SearchedParameter]:
    """Return every parameter that any trial or infeasible draw had, by path.

    In the study file's order, as far as the trials show it.
    """
    table = rows.PARAMS
    query = (
        sa.select(
            table.c.param_name,
            table.c.distribution_json,
            sa.func.min(table.c.param_id).label("first"),
        )
        .join(rows.TRIALS, rows.TRIALS.c.trial_id == table.c.trial_id)
        .where(rows.TRIALS.c.study_id == study_id)
        .group_by(table.c.param_name, table.c.distribution_json)
        .order_by("first")
    )

    def work(connection: Connection) -> list[tuple[str, str]]:
        return [(row.param_name, row.distribution_json) for row in connection.execute(query)]

    parameters: dict[str, Parameter] = {}
    for path, text in database.read(work):
        # A confirmation's seed isn't a searched parameter
        if path != CONFIRM_SEED and decode_distribution(text) is not None:
            parameters.setdefault(path, parameter_of(text))
    return with_branches(parameters)


def with_branches(parameters: Mapping[str, Parameter]) -> dict[str, SearchedParameter]:
    """Return path -> parameter with the branches in which it applies; options follow their branch.

    A choice is a branch of another parameter if that parameter's path begins with the choice's path
    and one of its labels.
    """
    by_path = {
        path: SearchedParameter(path=path, parameter=parameter, branch=_branch(path, parameters))
        for path, parameter in parameters.items()
    }
    return {path: by_path[path] for path in _in_order(list(by_path))}


def parameter_of(distribution_json: str) -> Parameter:
    """Return the parameter of an Optuna distribution, the inverse of ``distribution_of``."""
    from optuna.distributions import (
        CategoricalDistribution,
        IntDistribution,
        json_to_distribution,
    )

    optuna_distribution: Any = json_to_distribution(distribution_json)
    if isinstance(optuna_distribution, CategoricalDistribution):
        return Choice(tuple(optuna_distribution.choices))
    integer = isinstance(optuna_distribution, IntDistribution)
    return Range(
        low=optuna_distribution.low,
        high=optuna_distribution.high,
        step=optuna_distribution.step,
        log=optuna_distribution.log,
        integer=integer,
    )


def _branch(path: str, parameters: Mapping[str, Parameter]) -> dict[str, str]:
    branches = {}
    for other, parameter in parameters.items():
        if not isinstance(parameter, Choice) or not path.startswith(f"{other}."):
            continue
        option = path[len(other) + 1 :].split(".", 1)[0]
        if option in parameter.labels:
            branches[other] = option
    return branches


def _in_order(paths: list[str]) -> list[str]:
    """Keep families together: a parameter that was first drawn late is beside its relatives."""
    first: dict[str, int] = {}
    for place, path in enumerate(paths):
        words = path.split(".")
        for count in range(1, len(words) + 1):
            first.setdefault(".".join(words[:count]), place)

    def key(path: str) -> tuple[int, ...]:
        words = path.split(".")
        return tuple(first[".".join(words[:count])] for count in range(1, len(words) + 1))

    return sorted(paths, key=key)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
