"""The rules between the keys `objective`, `objectives`, `prune_on` and `constraints`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.metric_registry import BUILT_IN, METRICS, direction_of, spelled, split
from hpsearch.metrics import COSTS
from hpsearch.study_file.diagnostics import Diagnostics
from hpsearch.study_file.goals import Goals, read_constraint, unsatisfiable
from hpsearch.study_file.space import Node
from hpsearch.study_file.syntax import MapNode, ScalarNode
from hpsearch.study_file.walk import plain


def check_goals(children: Mapping[str, Node], node: MapNode, diagnostics: Diagnostics) -> None:
    """Report keys that can't be combined.

    Args:
        children: The top level of the study by key; each value is valid by itself.
        node: The tree of the file.
        diagnostics: Receives problems.
    """
    keys = {key for key, entry in node.entries.items() if not _is_null(entry)}
    several = plain(children["objectives"]) if "objectives" in children else None
    metrics = () if several is None else tuple(several.get("metrics", ()))
    if {"objective", "objectives"} <= keys:
        diagnostics.add(
            node.entries["objectives"].location,
            "objectives",
            "a study has either `objective` or `objectives`, but both are given; remove one "
            "(`objective: X` is the form for one, `objectives: [X, Y]` for several)",
        )
    elif metrics and not set(metrics) - COSTS.keys():
        diagnostics.add(
            node.entries["objectives"].location,
            "objectives",
            "at least one objective must be measured after every epoch "
            f"({', '.join(spelled())}), but got {', '.join(metrics)}",
        )
    _check_directions(children, node, diagnostics)
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
    if "loop" in document:
        return
    document.pop("metrics", None)
    names = map(split, Goals.of(document).others)
    stored = {name: direction_of(name) for name, _ in names if name not in BUILT_IN}
    if stored:
        document["metrics"] = stored


def _check_directions(
    children: Mapping[str, Node], node: MapNode, diagnostics: Diagnostics
) -> None:
    """Report directions that aren't those with which the metrics are registered."""
    if "loop" in children:
        return
    metrics = plain(children["metrics"]) if "metrics" in children else None
    for name, direction in (metrics or {}).items():
        if name not in METRICS or METRICS.directions[name] != direction:
            diagnostics.add(
                node.entries["metrics"].location,
                "metrics",
                f"{name}: {direction} must be the metric of a plug-in, with the direction of its "
                "registration; remove this key, which only hpsearch writes",
            )


def _check_prune_on(
    children: Mapping[str, Node], metrics: tuple[str, ...], node: MapNode, diagnostics: Diagnostics
) -> None:
    metric = plain(children["prune_on"]) if "prune_on" in children else None
    if metric is None or "objectives" not in children:
        return
    location = node.entries["prune_on"].location
    if plain(children["objectives"]) is None:
        diagnostics.add(
            location,
            "prune_on",
            "names one of several `objectives`, but this study has one `objective`, which decides "
            "anyway; remove it",
        )
    elif metrics and metric not in metrics:
        listed = ", ".join(name for name in metrics if name not in COSTS)
        diagnostics.add(
            location,
            "prune_on",
            f"must be one of this study's objectives ({listed}), but got {metric}",
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
