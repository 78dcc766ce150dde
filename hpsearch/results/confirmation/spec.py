"""The settings of a confirmation, and how they are stored.

A confirmation is a study of its own. Its settings are fixed when it is created, and stored in its
document under ``confirms``. Earlier versions left some keys out; they stay left out if the settings
are written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.study_file.goals import Goals

if TYPE_CHECKING:
    from hpsearch.search.ledger.studies import StoredStudy

#: Seeds that every finalist gets, whatever the first result: one seed shows no noise.
FIRST_ROUND = 2


@dataclass(frozen=True, kw_only=True)
class Field:
    """The values of all trials from which the finalists were chosen, in two numbers."""

    #: Median of the values.
    middle: float
    #: Mean square distance from the median of the values that are better. The worse ones are left
    #: out, since a search's failures are far behind.
    variance: float
    #: Number of values that are better than the median.
    better: int


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A configuration that is trained again."""

    #: Its trial's number in the search.
    trial: int
    #: Path -> stored value.
    params: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class RequestedSettings:
    """The user's settings, before ``share`` had its effect."""

    top: int
    seeds: int
    #: The most epochs, as a share of the search's; ``None`` if none was set.
    share: float | None
    #: Those of ``top`` and ``seeds`` that were options of the command; ``None`` if an earlier
    #: version began the confirmation.
    options: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class SearchSnapshot:
    """The search when its finalists were chosen."""

    #: Trials that had ended, complete ones, and epochs run.
    trials: int
    complete: int
    epochs: int
    #: The best value seen.
    best: float
    #: ``None`` if an earlier version began the confirmation.
    field: Field | None


@dataclass(frozen=True, kw_only=True)
class Shortened:
    """Fewer seeds than planned, so that a confirmation ends before its deadline."""

    #: Number of seeds of the selection, and of the report.
    selection: int
    report: int


@dataclass(frozen=True, kw_only=True)
class ConfirmationSpec:
    """A confirmation's settings, fixed when it is created.

    Raises:
        ValueError: If there is no finalist, one appears twice, or ``seeds`` is below 2.
    """

    #: The search that it confirms.
    study: str
    fingerprint: str
    #: The study's objective, and whether more of it is better; not stored under ``confirms``.
    metric: str
    maximize: bool
    #: Seeds for the selection (1..seeds), and again for the report (seeds + 1..2 * seeds).
    seeds: int
    #: Fresh seeds that earlier confirmations of the search have used.
    seeds_before: int
    requested: RequestedSettings
    #: The rule by which the finalists were chosen, and how the share changed it.
    rule: str
    #: In the search's rank order, best first.
    finalists: tuple[Configuration, ...]
    #: What the winner is compared with: the first of ``try_first``. It may also be a finalist. If
    #: it isn't, it doesn't compete, and is trained with the report's seeds only.
    baseline: Configuration | None
    search: SearchSnapshot
    #: ``None`` if every planned seed is trained.
    shortened: Shortened | None = None

    def __post_init__(self) -> None:
        if not self.trials or len(set(self.trials)) != len(self.trials):
            raise ValueError("a confirmation needs finalists, each once")
        if self.seeds < FIRST_ROUND:
            raise ValueError(
                f"a confirmation needs at least {FIRST_ROUND} seeds: one seed doesn't show the "
                "noise"
            )

    @classmethod
    def from_document(
        cls, section: Mapping[str, Any], *, metric: str, maximize: bool
    ) -> ConfirmationSpec:
        """Return the settings in a stored document.

        Args:
            section: The document's ``confirms``.
            metric: The study's objective.
            maximize: Whether more of it is better.
        """
        requested, search = section["asked"], section["search"]
        options, baseline = requested.get("given"), section["baseline"]
        return cls(
            study=section["study"],
            fingerprint=section["fingerprint"],
            metric=metric,
            maximize=maximize,
            seeds=section["seeds"],
            seeds_before=section["seeds_before"],
            requested=RequestedSettings(
                top=requested["top"],
                seeds=requested["seeds"],
                share=requested["share"],
                options=None if options is None else tuple(options),
            ),
            rule=section["rule"],
            finalists=tuple(Configuration(**finalist) for finalist in section["finalists"]),
            baseline=None if baseline is None else Configuration(**baseline),
            search=SearchSnapshot(
                **{**search, "field": Field(**search["field"]) if "field" in search else None}
            ),
            shortened=Shortened(**section["shortened"]) if "shortened" in section else None,
        )

    def to_document(self) -> dict[str, Any]:
        """Return the section ``confirms``, JSON-like: the inverse of ``from_document``."""
        requested, search = asdict(self.requested), asdict(self.search)
        if (options := requested.pop("options")) is not None:
            requested["given"] = list(options)
        if self.search.field is None:
            del search["field"]
        shortened = {} if self.shortened is None else {"shortened": asdict(self.shortened)}
        return {
            "study": self.study,
            "fingerprint": self.fingerprint,
            "seeds": self.seeds,
            "seeds_before": self.seeds_before,
            "asked": requested,
            "rule": self.rule,
            "finalists": [asdict(finalist) for finalist in self.finalists],
            "baseline": None if self.baseline is None else asdict(self.baseline),
            "search": search,
            **shortened,
        }

    @property
    def trials(self) -> tuple[int, ...]:
        """Trial numbers of the finalists in the search's rank order, best first."""
        return tuple(finalist.trial for finalist in self.finalists)

    @property
    def baseline_trial(self) -> int | None:
        """The trial number of the baseline."""
        return None if self.baseline is None else self.baseline.trial

    @property
    def params(self) -> dict[int, Mapping[str, Any]]:
        """Trial -> its stored parameters, of the finalists and of the baseline."""
        configurations = [*self.finalists, *filter(None, [self.baseline])]
        return {configuration.trial: configuration.params for configuration in configurations}

    @property
    def selection_seeds(self) -> range:
        """The seeds that choose the winner."""
        return range(1, (self.shortened.selection if self.shortened else self.seeds) + 1)

    @property
    def report_seeds(self) -> range:
        """The seeds whose mean is reported."""
        number = self.shortened.report if self.shortened else self.seeds
        return range(self.seeds + 1, self.seeds + 1 + number)

    @property
    def last_seed(self) -> int:
        """The last fresh seed of the search that this confirmation may use."""
        return self.seeds_before + 2 * self.seeds


def spec_of(confirmation: StoredStudy) -> ConfirmationSpec:
    """Return the settings of a stored confirmation."""
    objective = Goals.of(confirmation.document).objective
    return ConfirmationSpec.from_document(
        confirmation.document["confirms"],
        metric=objective.metric,
        maximize=objective.direction == "maximize",
    )


def confirmed_search(study: StoredStudy) -> str | None:
    """Return the name of the search that a stored study confirms; ``None`` for a search."""
    section = study.document.get("confirms")
    return None if section is None else str(section["study"])
