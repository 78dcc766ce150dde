"""The choice by which a report groups trials: the model, or another branch of the space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpsearch.reporting.analysis.parameters import SearchedParameter
from hpsearch.results.question import model_of
from hpsearch.study_file.space import Choice, short_name


@dataclass(frozen=True, kw_only=True)
class Branching:
    """The choice by which trials are grouped."""

    #: Its path among the searched parameters; ``None`` if all trials are one group.
    path: str | None
    #: Its short name, such as ``model``.
    name: str
    #: The group of all trials if ``path`` is ``None``: the name of the model.
    only: str = ""

    @property
    def is_architecture(self) -> bool:
        """Whether groups are models, or variants of one."""
        return self.path is None or self.path.split(".")[0] == "model"


def branching(
    parameters: Mapping[str, SearchedParameter], document: Mapping[str, Any]
) -> Branching:
    """Return the choice that answers best which kind of trial is better.

    It is the model if models are searched. Otherwise it is the first choice with keys of its own
    (a branch, such as the optimizer), then a choice of words within the model (such as its
    activation), then any other choice of words.

    Args:
        parameters: Path -> searched parameter.
        document: The stored study.
    """
    choices = [
        parameter for parameter in parameters.values() if isinstance(parameter.parameter, Choice)
    ]
    branches = {path for parameter in parameters.values() for path in parameter.branch}
    words = [choice for choice in choices if not choice.is_number]
    orders = (
        (choice for choice in choices if choice.path == "model"),
        (choice for choice in choices if choice.path in branches),
        (choice for choice in words if choice.path.startswith("model.") and not choice.branch),
        (choice for choice in words if not choice.branch),
    )
    for order in orders:
        for choice in order:
            return Branching(path=choice.path, name=short_name(choice.path, parameters))
    return Branching(path=None, name="model", only=model_of(document, {}) or "all trials")
