"""The settings of an ablation, and how they are stored.

An ablation is a study of its own. Its settings are fixed when it is created, and stored in its
document under ``ablates``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.study_file.goals import Goals

if TYPE_CHECKING:
    from hpsearch.search.ledger.studies import StoredStudy

#: Default number of fresh seeds: with them, a difference of 2 points is found in more than 80 % of
#: the cases if there are up to 8 comparisons, and if seeds vary a configuration's value by a
#: standard deviation of up to 1.05 points (docs/honest-numbers.md).
SEEDS = 10

#: The fewest seeds: fewer hardly show how much seeds differ.
FEWEST_SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One configuration that is trained."""

    #: Path -> stored value.
    params: Mapping[str, Any]
    #: What differs from the ablated trial: path -> stored value. Settings that only go with a
    #: changed branch aren't in it.
    changed: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two variants that differ in one parameter."""

    parameter: str
    #: The numbers of the variants: ``one`` has ``level``, ``other`` has ``base``.
    one: int
    other: int
    level: Any
    base: Any
    #: The place: values of other parameters that both variants have, of a crossed question.
    at: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A configuration that isn't trained."""

    changed: Mapping[str, Any]
    reason: str


@dataclass(frozen=True, kw_only=True)
class RequestedChanges:
    """What the user asked for; the same request continues the same ablation."""

    #: Paths, changed one at a time.
    parameters: tuple[str, ...]
    #: Crossed: a path, and the paths that its effect may depend on.
    crossed: tuple[tuple[str, tuple[str, ...]], ...]
    #: The largest number of configurations of a crossed one.
    most_cells: int


@dataclass(frozen=True, kw_only=True)
class AblationSpec:
    """An ablation's settings, fixed when it is created."""

    #: The search, and the number of its trial that is varied.
    study: str
    fingerprint: str
    trial: int
    #: The study's objective, and whether more of it is better; not stored under ``ablates``.
    metric: str
    maximize: bool
    seeds: int
    #: Fresh seeds that earlier confirmations and ablations of the search have used.
    seeds_before: int
    asked: RequestedChanges
    #: The first one is the trial itself.
    variants: tuple[Variant, ...]
    contrasts: tuple[Contrast, ...]
    left_out: tuple[LeftOut, ...]

    @classmethod
    def from_document(
        cls, section: Mapping[str, Any], *, metric: str, maximize: bool
    ) -> AblationSpec:
        """Return the settings in a stored document.

        Args:
            section: The document's ``ablates``.
            metric: The study's objective.
            maximize: Whether more of it is better.
        """
        asked = section["asked"]
        return cls(
            study=section["study"],
            fingerprint=section["fingerprint"],
            trial=section["trial"],
            metric=metric,
            maximize=maximize,
            seeds=section["seeds"],
            seeds_before=section["seeds_before"],
            asked=RequestedChanges(
                parameters=tuple(asked["parameters"]),
                crossed=tuple((path, tuple(by)) for path, by in asked["crossed"]),
                most_cells=asked["most_cells"],
            ),
            variants=tuple(Variant(**each) for each in section["variants"]),
            contrasts=tuple(Contrast(**each) for each in section["contrasts"]),
            left_out=tuple(LeftOut(**each) for each in section["left_out"]),
        )

    def to_document(self) -> dict[str, Any]:
        """Return the section ``ablates``, JSON-like: the inverse of ``from_document``."""
        return {
            "study": self.study,
            "fingerprint": self.fingerprint,
            "trial": self.trial,
            "seeds": self.seeds,
            "seeds_before": self.seeds_before,
            "asked": {
                "parameters": list(self.asked.parameters),
                "crossed": [[path, list(by)] for path, by in self.asked.crossed],
                "most_cells": self.asked.most_cells,
            },
            "variants": [asdict(each) for each in self.variants],
            "contrasts": [asdict(each) for each in self.contrasts],
            "left_out": [asdict(each) for each in self.left_out],
        }

    @property
    def trainings(self) -> int:
        """The number of trainings if none fails."""
        return len(self.variants) * self.seeds

    @property
    def last_seed(self) -> int:
        """The last fresh seed of the search that this ablation uses."""
        return self.seeds_before + self.seeds


def spec_of(ablation: StoredStudy) -> AblationSpec:
    """Return the settings of a stored ablation."""
    objective = Goals.of(ablation.document).objective
    return AblationSpec.from_document(
        ablation.document["ablates"],
        metric=objective.metric,
        maximize=objective.direction == "maximize",
    )
