"""The settings of an ablation, and how they are stored.

An ablation is a study of its own. Its settings are stored in its document under ``ablates``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.study_file.goals import Goals

if TYPE_CHECKING:
    from hpsearch.search.ledger.studies import StoredStudy

#: Default number of fresh seeds: with them, a difference of 2 points is detected in more than 80 %
#: of the cases, for up to 8 comparisons and a standard deviation between seeds of up to 1.05 points
#: (docs/honest-numbers.md).
SEEDS = 10

#: The fewest seeds: fewer hardly show how much seeds differ.
FEWEST_SEEDS = 3

#: The most seeds that an ablation gets by itself if there is time left before a deadline.
MOST_IN_TIME = 2 * SEEDS

#: Seeds after which a difference may be settled before the last seed, if there are more.
LOOKS = (4, 7)


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
class Look:
    """What was settled before the last seed. It was decided once, and is stored."""

    #: The number of seeds whose trainings had ended.
    seeds: int
    #: The numbers of the contrasts that were settled by them.
    settled: tuple[int, ...]


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
    """An ablation's settings. Only its number of seeds, and what was settled, change later."""

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
    #: Seeds after which differences may be settled; empty: never before the last one.
    looks: tuple[int, ...] = ()
    #: In order.
    taken: tuple[Look, ...] = ()
    #: ``seeds`` follows the time until a deadline, and is at most this; ``None``: it is fixed.
    most_seeds: int | None = None

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
        requested = section["asked"]
        return cls(
            study=section["study"],
            fingerprint=section["fingerprint"],
            trial=section["trial"],
            metric=metric,
            maximize=maximize,
            seeds=section["seeds"],
            seeds_before=section["seeds_before"],
            asked=RequestedChanges(
                parameters=tuple(requested["parameters"]),
                crossed=tuple((path, tuple(by)) for path, by in requested["crossed"]),
                most_cells=requested["most_cells"],
            ),
            variants=tuple(Variant(**variant) for variant in section["variants"]),
            contrasts=tuple(Contrast(**contrast) for contrast in section["contrasts"]),
            left_out=tuple(LeftOut(**configuration) for configuration in section["left_out"]),
            # Ablations of earlier versions have none of these
            looks=tuple(section.get("looks", ())),
            taken=tuple(
                Look(seeds=look["seeds"], settled=tuple(look["settled"]))
                for look in section.get("taken", ())
            ),
            most_seeds=section.get("most_seeds"),
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
            "variants": [asdict(variant) for variant in self.variants],
            "contrasts": [asdict(contrast) for contrast in self.contrasts],
            "left_out": [asdict(configuration) for configuration in self.left_out],
            "looks": list(self.looks),
            "taken": [{"seeds": look.seeds, "settled": list(look.settled)} for look in self.taken],
            "most_seeds": self.most_seeds,
        }

    @property
    def trainings(self) -> int:
        """The number of trainings if none fails."""
        return len(self.variants) * self.seeds

    @property
    def last_seed(self) -> int:
        """The last fresh seed of the search that this ablation may use."""
        return self.seeds_before + (self.most_seeds or self.seeds)

    @property
    def early_looks(self) -> tuple[int, ...]:
        """The looks before the last seed."""
        return tuple(seeds for seeds in self.looks if seeds < self.seeds)

    @property
    def settled(self) -> dict[int, int]:
        """The settled contrasts: number -> seeds after which it was settled."""
        return {number: look.seeds for look in self.taken for number in look.settled}


def timed_search(study: StoredStudy) -> str | None:
    """Return the search whose deadline an ablation keeps; ``None`` for any other study."""
    section = study.document.get("ablates")
    if section is None or section.get("most_seeds") is None:
        return None
    return str(section["study"])


def spec_of(ablation: StoredStudy) -> AblationSpec:
    """Return the settings of a stored ablation."""
    objective = Goals.of(ablation.document).objective
    return AblationSpec.from_document(
        ablation.document["ablates"],
        metric=objective.metric,
        maximize=objective.direction == "maximize",
    )
