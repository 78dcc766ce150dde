"""The rules between the keys `objective`, `objectives`, `prune_on` and `constraints`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.metrics import OBJECTIVES
from hpsearch.study_file.diagnostics import Diagnostics
from hpsearch.study_file.goals import read_constraint, unsatisfiable
from hpsearch.study_file.space import Node
from hpsearch.study_file.syntax import MapNode, ScalarNode
from hpsearch.study_file.walk import plain

_MEASURED = ", ".join(OBJECTIVES)


def check_goals(children: Mapping[str, Node], node: MapNode, diagnostics: Diagnostics) -> None:
    """Report keys that can't be combined.

    Args:
        children: The top level of the study by key; each value is valid by itself.
        node: The tree of the file.
        diagnostics: Receives problems.
    """
    given = {key for key, entry in node.entries.items() if not _is_null(entry)}
    several = plain(children["objectives"]) if "objectives" in children else None
    metrics = () if several is None else tuple(several.get("metrics", ()))
    if {"objective", "objectives"} <= given:
        diagnostics.add(
            node.entries["objectives"].location,
            "objectives",
            "a study has either `objective` or `objectives`, but both are given; remove one "
            "(`objective: X` is the form for one, `objectives: [X, Y]` for several)",
        )
    elif metrics and not set(metrics) & set(OBJECTIVES):
        diagnostics.add(
            node.entries["objectives"].location,
            "objectives",
            f"at least one objective must be measured after every epoch ({_MEASURED}), but got "
            f"{', '.join(metrics)}",
        )
    _check_prune_on(children, metrics, node, diagnostics)
    _check_constraints(children, node, diagnostics)


def normal_form(document: dict[str, Any]) -> None:
    """Remove the unused ones of these keys from ``document``.

    The document of a study of one objective without constraints then equals that of earlier
    versions, which had only ``objective``.
    """
    if document["objectives"] is None:
        del document["objectives"], document["prune_on"]
    else:
        del document["objective"]
    if not document["constraints"]:
        del document["constraints"]


def _check_prune_on(
    children: Mapping[str, Node], metrics: tuple[str, ...], node: MapNode, diagnostics: Diagnostics
) -> None:
    named = plain(children["prune_on"]) if "prune_on" in children else None
    if named is None or "objectives" not in children:
        return
    location = node.entries["prune_on"].location
    if plain(children["objectives"]) is None:
        diagnostics.add(
            location,
            "prune_on",
            "names one of several `objectives`, but this study has one `objective`, which decides "
            "anyway; remove it",
        )
    elif metrics and named not in metrics:
        listed = ", ".join(name for name in metrics if name in OBJECTIVES)
        diagnostics.add(
            location,
            "prune_on",
            f"must be one of this study's objectives ({listed}), but got {named}",
        )


def _check_constraints(
    children: Mapping[str, Node], node: MapNode, diagnostics: Diagnostics
) -> None:
    written = plain(children["constraints"]) if "constraints" in children else []
    pair = unsatisfiable([read_constraint(text) for text in written])
    if pair is not None:
        diagnostics.add(
            node.entries["constraints"].location,
            "constraints",
            f"no value satisfies both {pair[0]} and {pair[1]}; widen one of them",
        )


def _is_null(node: object) -> bool:
    return isinstance(node, ScalarNode) and node.value is None
