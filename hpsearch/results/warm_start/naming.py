"""Which cell of a source is which parameter of the study, and which is its objective.

A cell belongs to a parameter if its name is the parameter's path or the end of it: ``lr`` is
``optimizer.sgd.lr``. Prefixes of exports (``config.lr``) and common short names (``learning
rate``, ``batch``) are known. An ambiguous name is an error; it is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from hpsearch.errors import UnknownName, UserError, bare_name
from hpsearch.study_file.space import Space
from hpsearch.study_file.spelling import PARAMETERS

#: Prefixes of a parameter in exports: W&B ``config.lr``, MLflow ``params.lr``, Optuna
#: ``params_lr``, its dashboard ``Param lr``, Ray ``config/lr``.
_PREFIX = re.compile(
    r"^(config|params|param|parameters|hparams|hyperparameters)[./_ ](?=.)", re.IGNORECASE
)
#: Prefixes of a result: MLflow ``metrics.val_acc``, Optuna ``values_val_acc``.
_RESULT_PREFIX = re.compile(
    r"^(metrics|metric|summary|values|user_attrs|userattribute)[./_ ](?=.)", re.IGNORECASE
)
_SUFFIX = re.compile(r"[./]value$", re.I)

#: Name of any objective in a table of Optuna or of hpsearch's report.
_UNNAMED_VALUE = ("value",)

_METRIC_NAMES = {
    "val_accuracy": ("val_acc", "valid_accuracy", "valid_acc", "validation_accuracy",
                     "validation_acc", "accuracy_val", "acc_val", "val_top1"),
    "val_loss": ("valid_loss", "validation_loss", "loss_val"),
    "val_macro_f1": ("val_f1", "validation_macro_f1", "val_f1_macro"),
    "val_balanced_accuracy": ("val_balanced_acc", "validation_balanced_accuracy"),
}  # fmt: skip


class Names:
    """The columns of one source, found by parameter.

    Args:
        space: The study's space.
        columns: The names of the source's cells.
        mapped: Column -> path, from the user; a column with an empty path is ignored.

    Raises:
        UnknownName: If a column or path doesn't exist.
    """

    def __init__(self, space: Space, columns: Sequence[str], mapped: Mapping[str, str]) -> None:
        paths = set(space.parameters()) | set(space.fixed())
        for column, path in mapped.items():
            if column not in columns:
                raise UnknownName("column", column, columns)
            if path and path not in paths:
                raise UnknownName("parameter", path, space.parameters())
        self._user_columns = {path: column for column, path in mapped.items() if path}
        self._free = [column for column in columns if column not in mapped]
        self._columns: dict[str, list[str]] = {}

    def of(self, path: str) -> list[str]:
        """Return the columns that may be ``path``, all equally likely; empty if there is none."""
        if path not in self._columns:
            self._columns[path] = self._look(path)
        return self._columns[path]

    def _look(self, path: str) -> list[str]:
        if path in self._user_columns:
            return [self._user_columns[path]]
        parts = _plain(path)
        length = {column: _matches(parts, _plain(column)) for column in self._free}
        longest = max(length.values(), default=0)
        return [column for column, matched in length.items() if matched == longest > 0]


def value_column(
    metric: str, columns: Sequence[str], user_column: str | None, *, only: bool = False
) -> str | None:
    """Find the column of a metric.

    Args:
        metric: The metric.
        columns: The names of all columns.
        user_column: The column that the user names; ``None`` to search by name.
        only: Whether the metric is the only objective. If no column has its name, a column called
            "value" is then taken (``is_unnamed_value``).

    Returns:
        The column's name, ``None`` if there is none.

    Raises:
        UnknownName: If ``user_column`` is no column.
        UserError: If several columns are possible.
    """
    if user_column is not None:
        if user_column not in columns:
            raise UnknownName("column", user_column, columns)
        return user_column
    exact = [column for column in columns if column == metric]
    names = {metric, *_METRIC_NAMES.get(metric, ())}
    matches = exact or [column for column in columns if result_name(column) in names]
    if not matches and only:
        matches = [column for column in columns if is_unnamed_value(metric, column)]
    if len(matches) > 1:
        raise UserError(
            f"one column must be the {metric}, but {_list_names(matches)} could be; choose one "
            f"with --value {matches[0]!r}"
        )
    return matches[0] if matches else None


def is_unnamed_value(metric: str, column: str) -> bool:
    """Whether ``column`` is a result whose name doesn't include the metric."""
    return column != metric and column.lower() in _UNNAMED_VALUE


def result_name(column: str) -> str:
    """Return the name of a column of results: ``metrics.Val Acc`` is ``val_acc``."""
    return "_".join(_plain(_RESULT_PREFIX.sub("", column.strip())))


def _plain(name: str) -> tuple[str, ...]:
    """Return a name's parts in lower case: ``config.Learning Rate`` is ``lr``."""
    bare = _SUFFIX.sub("", _PREFIX.sub("", name.strip()))
    parts = [re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_") for part in re.split("[./]", bare)]
    return tuple(PARAMETERS.get(bare_name(part), part) for part in parts if part)


def _matches(path: Sequence[str], name: Sequence[str]) -> int:
    """Return how many parts ``name`` shares with the end of ``path``; 0 if it isn't its end."""
    if not name or len(name) > len(path) or tuple(path[-len(name) :]) != tuple(name):
        # Exports without dots write optimizer.sgd.lr as optimizer_sgd_lr
        return len(path) if "_".join(path) == "_".join(name) else 0
    return len(name)


def _list_names(names: Iterable[str]) -> str:
    return " and ".join(repr(name) for name in names)
