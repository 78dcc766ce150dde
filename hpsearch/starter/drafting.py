"""From a path or a name to the text of a study file that ``hpsearch check`` accepts.

Whatever needs torch, or decodes pictures, runs in a process of its own.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.errors import DataError, UserError
from hpsearch.starter.fitting import Cost, Fit, Task, fit
from hpsearch.starter.inspection import Findings, inspect_named, inspect_path
from hpsearch.starter.measuring import measure
from hpsearch.starter.recipe import Recipe, recipe_for
from hpsearch.starter.writing import Draft, study_text
from hpsearch.study_file.diagnostics import Diagnostics, SourceLocation
from hpsearch.study_file.loading import StudyDict
from hpsearch.study_file.syntax import read_yaml, to_plain
from hpsearch.workers.launch.isolation import run_isolated

#: More pictures than these aren't decoded to measure: an epoch's time follows from their number.
_MEASURED_IMAGES = 2000
#: A study's name: letters, digits, ``_`` and ``-``, at most 64.
_NAME, _LONGEST_NAME = re.compile(r"[^A-Za-z0-9_-]+"), 64


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the user asked for."""

    #: A folder or file of pictures; ``None``: ``source`` is a name.
    path: Path | None
    #: A data set by its name, such as ``fashion_mnist`` or ``eurosat``.
    source: str | None
    #: Keys of the source that the user gave, by their paths in a study file.
    changes: Mapping[str, Any]
    #: The file to write.
    output: Path
    #: The study's name.
    name: str
    #: The command, for the first line of the file.
    command: str
    #: Seconds of the search and its confirmation.
    seconds: float
    #: Workers of the launch.
    workers: int


@dataclass(frozen=True, kw_only=True)
class Drafted:
    """A checked study file."""

    text: str
    findings: Findings
    recipe: Recipe
    fit: Fit
    #: What ``hpsearch check`` warns of.
    warnings: tuple[str, ...]


def draft(target: Target, tell: Callable[[Findings], None] = lambda findings: None) -> Drafted:
    """Look at the data, measure, and return a checked study file.

    Args:
        target: What the user asked for.
        tell: Called with the findings, before anything slow begins.

    Raises:
        UserError: There is nothing that a search could train on; the message shows what to do.
    """
    if target.path is None:
        findings = run_isolated(inspect_named, str(target.source), target.changes)
    else:
        findings = run_isolated(inspect_path, target.path, target.changes)
    tell(findings)
    recipe = recipe_for(findings)
    plan = Draft(
        name=target.name,
        command=target.command,
        path=target.output,
        findings=findings,
        recipe=recipe,
    )
    budget, task = _measure_and_fit(plan, target)
    text = study_text(plan, budget, task)
    warnings = run_isolated(check, _parse(text, target.output), str(target.output))
    return Drafted(
        text=text,
        findings=findings,
        recipe=recipe,
        fit=budget,
        warnings=warnings,
    )


def _measure_and_fit(plan: Draft, target: Target) -> tuple[Fit, Task]:
    """Measure from the smallest size on, as long as larger pictures may fit the time."""
    findings, recipe, sizes = plan.findings, plan.recipe, plan.recipe.sizes
    study = _parse(study_text(plan), plan.path)
    images = findings.images
    left_out = recipe.validation if recipe.folds is None else 1 / recipe.folds
    trained = 1 if findings.val_images is not None else 1 - left_out
    limit = max(_MEASURED_IMAGES, 2 * len(findings.class_names))
    costs: dict[tuple[int | None, str], Cost] = {}
    best: tuple[Fit, Task] | None = None
    for size in sizes:
        costs |= measure(
            study,
            [size],
            images=images,
            limit=limit if images > limit else None,
            workers=target.workers,
        )
        if not costs:
            continue
        task = Task(
            seconds=target.seconds,
            workers=target.workers,
            images=round(images * trained),
            classes=len(findings.class_names),
        )
        best = fit(costs, task), task
        if best[0].sizes[-1] != size:  # it costs too much, and a larger one costs more
            break
    if best is None:
        raise UserError(
            f"at least one network must fit the pictures, but none does with an edge of "
            f"{findings.edges[1]} pixels; use larger pictures"
        )
    return best


def _parse(text: str, path: Path) -> StudyDict:
    node = read_yaml(text, SourceLocation(str(path)), Diagnostics())
    content = None if node is None else to_plain(node)
    if not isinstance(content, dict):  # a fault of this package
        raise TypeError(f"not a mapping: {text}")
    folder = Path(os.path.abspath(path)).parent  # noqa: PTH100 - keeps links
    return StudyDict(content=content, folder=folder)


def check(study: StudyDict, where: str) -> tuple[str, ...]:
    """Check a study as ``hpsearch check`` does; call it through ``run_isolated``.

    Args:
        study: The study.
        where: Its file, for errors.

    Returns:
        The warnings.

    Raises:
        UserError: Data or models can't be used.
    """
    from hpsearch.component_registries import registries
    from hpsearch.results.space_report import inspect_space, require_feasible
    from hpsearch.study_file.loading import load_study_dict

    loaded = load_study_dict(study, registries)
    report = inspect_space(loaded)
    require_feasible(loaded, report)
    return report.warnings


def name_for(path: Path) -> str:
    """Return a study's name for a folder or file: ``My photos/`` is ``my_photos``."""
    own = Path(os.path.abspath(path)).name  # noqa: PTH100 - keeps links
    stem = own.split(".")[0] if path.is_file() else own
    return study_name(stem)


def study_name(text: str) -> str:
    """Return a study's name for the name of a file or a data set."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = _NAME.sub("_", plain).strip("_-")[:_LONGEST_NAME].strip("_-")
    return name or "pictures"


def require_outside(path: Path) -> None:
    """Require that the current folder isn't the pictures' own: a launch writes its runs there.

    Raises:
        DataError: It is.
    """
    here, root = Path.cwd(), path.resolve()
    if root.is_dir() and here.is_relative_to(root):
        raise DataError(
            f"a search writes its database and the folder runs into the current folder, but that "
            f"is the pictures' ({root}), and runs would become a class; change to another folder, "
            f"such as {root.parent}, and run it there"
        )
