"""Errors by kind, and the part of the search space that can't be built."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from hpsearch.reporting.analysis.parameters import read_parameters
from hpsearch.results import trial_attributes
from hpsearch.results.error_text import first_line
from hpsearch.results.records import StudyRecord
from hpsearch.results.trial_attributes import InfeasibleDraw
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState
from hpsearch.study_file.space import format_value, short_name

#: Numbers and addresses, which may differ between two errors of one kind.
_PARTICULARS = re.compile(r"0x[0-9a-f]+|\d+(?:[.,]\d+)*(?:e[-+]?\d+)?", re.IGNORECASE)

#: Fewest infeasible draws of a region.
_FEWEST = 2
#: A parameter with more distinct values than this isn't used to describe a region.
_MOST_VALUES = 12


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Failed trials of one kind."""

    #: The first one's error in one line.
    error: str
    #: Trial numbers, ascending.
    trials: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class OutOfMemory:
    """A trial that needed more memory than there was."""

    number: int
    params: Mapping[str, Any]
    #: The recorded message, one line.
    told: str
    #: Peak memory in MB, and the MB that it requested in addition; ``None`` if not known.
    peak_mb: float | None
    asked_mb: float | None


@dataclass(frozen=True, kw_only=True)
class Region:
    """Parameter values that can't be built together."""

    #: Path -> value.
    values: Mapping[str, Any]
    #: ``kernel_size 5, dilation 3, input_size 8``.
    label: str
    #: Infeasible draws in the region, and all draws in it.
    infeasible: int
    drawn: int
    #: Why the first of them is infeasible.
    reason: str


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Trials that failed, and draws that couldn't be built."""

    failed: int
    #: The most frequent kind first.
    kinds: tuple[Failure, ...]
    out_of_memory: tuple[OutOfMemory, ...]
    infeasible: int
    #: The largest first; together they need not explain every infeasible draw.
    regions: tuple[Region, ...]
    #: Infeasible draws that no region explains.
    unexplained: int


def read_failures(database: Database, record: StudyRecord, *, at_most: int = 8) -> Failures:
    """Read the failed trials and the infeasible draws.

    Args:
        database: The study's database.
        record: The study with its trials.
        at_most: Largest number of regions.
    """
    study_id = record.study.study_id
    failed = [trial for trial in record.trials if trial.state is TicketState.FAILED]
    attributes = trial_attributes.read_many(
        database, study_id, ["out_of_memory", "memory_peak_mb", "memory_asked_mb"]
    )
    draws = trial_attributes.infeasible_draws(database, study_id)
    built = [trial.params for trial in record.trials if trial.params]
    paths = list(read_parameters(database, study_id))
    largest, unexplained = regions(draws, built, paths, at_most=at_most)
    return Failures(
        failed=len(failed),
        kinds=kinds([(trial.number or 0, trial.error or "") for trial in failed]),
        out_of_memory=tuple(
            OutOfMemory(
                number=trial.number,
                params=trial.params,
                told=attributes[trial.trial_id]["out_of_memory"],
                peak_mb=attributes[trial.trial_id].get("memory_peak_mb"),
                asked_mb=attributes[trial.trial_id].get("memory_asked_mb"),
            )
            for trial in failed
            if trial.number is not None
            and trial.trial_id is not None
            and "out_of_memory" in attributes.get(trial.trial_id, {})
        ),
        infeasible=len(draws),
        regions=largest,
        unexplained=unexplained,
    )


def kinds(errors: Sequence[tuple[int, str]]) -> tuple[Failure, ...]:
    """Group (trial number, error); two are of one kind if only their numbers differ."""
    grouped: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, error in sorted(errors):
        line = first_line(error)
        grouped[_PARTICULARS.sub("#", line)].append((number, line))
    failures = (
        Failure(error=group[0][1], trials=tuple(number for number, _ in group))
        for group in grouped.values()
    )
    return tuple(sorted(failures, key=lambda kind: (-len(kind.trials), kind.trials)))


def regions(
    draws: Sequence[InfeasibleDraw],
    built: Sequence[Mapping[str, Any]],
    paths: Sequence[str],
    *,
    at_most: int = 8,
    deepest: int = 3,
) -> tuple[tuple[Region, ...], int]:
    """Return the largest sets of values that can't be built, and the number of draws left over.

    A set can't be built if all of its draws are infeasible. Regions are chosen greedily: each
    explains the most draws that no earlier one explains.

    Args:
        draws: The infeasible draws.
        built: Parameters of each trial that could be built, path -> value.
        paths: Paths of all searched parameters.
        at_most: Largest number of regions.
        deepest: Largest number of parameters per region; a region names as few as possible.

    Returns:
        The regions, and the number of infeasible draws that none of them explains.
    """
    few = [path for path in paths if _has_few_values(path, draws, built)]
    left = list(draws)
    largest: list[Region] = []
    while left and len(largest) < at_most:
        region = _largest(left, draws, built, few, deepest)
        if region is None:
            break
        largest.append(_region(region, draws, built, paths))
        left = [draw for draw in left if not _within(draw.params, region)]
    return tuple(largest), len(left)


def _largest(
    left: Sequence[InfeasibleDraw],
    draws: Sequence[InfeasibleDraw],
    built: Sequence[Mapping[str, Any]],
    few: Sequence[str],
    deepest: int,
) -> dict[str, Any] | None:
    for depth in range(1, deepest + 1):
        best: tuple[int, dict[str, Any]] | None = None
        for paths in combinations(few, depth):
            counts: dict[tuple[Any, ...], int] = defaultdict(int)
            for draw in left:
                if all(path in draw.params for path in paths):
                    counts[tuple(draw.params[path] for path in paths)] += 1
            fine = {
                tuple(params[path] for path in paths)
                for params in built
                if all(path in params for path in paths)
            }
            for values, count in counts.items():
                enough = count >= _FEWEST and values not in fine
                if enough and (best is None or count > best[0]):
                    best = count, dict(zip(paths, values, strict=True))
        if best is not None:
            return best[1]
    return None


def _region(
    values: Mapping[str, Any],
    draws: Sequence[InfeasibleDraw],
    built: Sequence[Mapping[str, Any]],
    paths: Sequence[str],
) -> Region:
    there = [draw for draw in draws if _within(draw.params, values)]
    among = dict.fromkeys(paths)
    return Region(
        values=values,
        label=", ".join(
            f"{short_name(path, among)} {format_value(value)}" for path, value in values.items()
        ),
        infeasible=len(there),
        drawn=len(there) + sum(_within(params, values) for params in built),
        reason=there[0].reason,
    )


def _within(params: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return all(path in params and params[path] == value for path, value in values.items())


def _has_few_values(
    path: str, draws: Sequence[InfeasibleDraw], built: Sequence[Mapping[str, Any]]
) -> bool:
    values = {draw.params[path] for draw in draws if path in draw.params}
    values |= {params[path] for params in built if path in params}
    return 1 < len(values) <= _MOST_VALUES
