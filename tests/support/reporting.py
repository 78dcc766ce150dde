"""Made-up studies for reports: written through the ledger, nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpsearch.search.database.storage import Database
from hpsearch.study_file.space import Choice, Group, Range, Space
from support.ledger import Search, open_search, row
from support.searching import study_file

#: What somebody might write to leave the place that a report gives to their text.
HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    '=HYPERLINK("http://evil.example")',
    "[click](http://evil.example) $\\frac{",
)

SPACE = Space(
    Group(
        {
            "optimizer": Choice(("sgd", "adam")),
            "lr": Range(low=1e-4, high=0.5, log=True),
            "kernel": Range(low=2, high=5, integer=True),
        }
    )
)

#: Choices that are hostile in HTML, CSV, Markdown and formulas.
HOSTILE_SPACE = Space(Group({"word": Choice(HOSTILE), "lr": Range(low=1e-4, high=0.5, log=True)}))


#: Whoever is below it after an epoch is stopped.
_PRUNED = 0.1


def write_study(
    database: Database,
    ends: Sequence[str],
    *,
    name: str = "made",
    epochs: int = 3,
    space: Space = SPACE,
    noted: Mapping[str, Any] | None = None,
    error: str = "ValueError: too large",
    **study: Any,
) -> Search:
    """Write a study whose trials end as ``ends`` says: complete, pruned or failed, in that order.

    A pruned one ends after its first epoch, a failed one before it.
    """
    document = {
        "study": name,
        "seed": 7,
        "objective": {"metric": "val_accuracy", "at": "last"},
        "budget": {"trials": max(1, len(ends)), "epochs_per_trial": epochs},
        **study.pop("document", {}),
    }
    if "objectives" in study:
        document |= {
            "objectives": {"metrics": list(study["objectives"]), "at": "last"},
            "prune_on": "val_accuracy",
        }
        del document["objective"]
    file = study_file(
        name=name, trials=max(1, len(ends)), epochs=epochs, space=space, document=document, **study
    )
    search = open_search(database, file)
    search.rules = replace(search.rules, pruner=lambda report, peers: report.score < _PRUNED)
    for place, end in enumerate(ends):
        told = {"parameters": 1000 * (place + 1), "multiply_adds": 10**place, **(noted or {})}
        _trial(search, place, end, epochs, space, told, error)
    return search


def _trial(
    search: Search,
    place: int,
    end: str,
    epochs: int,
    space: Space,
    noted: Mapping[str, Any],
    error: str,
) -> None:
    hand = search.hand()
    params = space.draw(lambda path, parameter: _value(parameter, place)).params
    claim = hand.started(row(params, space, ticket=place + 1, **noted))
    if end == "failed":
        hand.ledger.fail(claim, error, retry=False)
        return
    value = 0.5 + 0.4 * ((7 * place) % 10) / 10 if end == "complete" else _PRUNED / 2
    measured = {"parameters": 1000.0 * (place + 1)} if search.rules.goals else None
    for epoch in range(1, epochs + 1):
        decision = hand.report(claim, epoch, value + 0.005 * epoch, measured=measured)
        if decision != "continue":
            break


def _value(parameter: Any, place: int) -> Any:
    if isinstance(parameter, Choice):
        return parameter.labels[place % len(parameter.labels)]
    if parameter.integer:
        return int(parameter.low) + place % (int(parameter.high) - int(parameter.low) + 1)
    share = (3 * place % 7) / 7
    if parameter.log:
        return parameter.low * (parameter.high / parameter.low) ** share
    return parameter.low + share * (parameter.high - parameter.low)
