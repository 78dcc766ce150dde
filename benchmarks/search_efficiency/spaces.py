"""The definition of a table: a study file, ``NAME.yaml``, and data for replays, ``NAME.json``.

``NAME.json`` contains ``budget`` (of a search, in whole trainings of average length by one worker)
and ``chance`` (the accuracy of a guess). It may contain ``input_shape`` (channels, height, width),
``classes`` and ``training`` (the number of training images), so that models can be built without
the images, ``data_set`` (the name of the images, if that isn't the table's), and ``record``: how
the table is recorded (``Recording``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch import component_registries
from hpsearch.errors import UserError
from hpsearch.priors.built import Images
from hpsearch.study_file.loading import load_study
from hpsearch.study_file.study import StudyFile

#: The tables that come with the benchmark.
TABLES = Path(__file__).parent / "tables"

#: Tables that aren't recorded yet, including those that a prior learns from.
PLANS = Path(__file__).parent / "studies"

_CONFIGURATIONS = ".configurations.csv.gz"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """How much of a space is recorded."""

    #: Number of configurations spread evenly over the space, and of those that TPE then proposes.
    spread: int
    proposed: int = 0
    #: Number of trainings of a repeated configuration, with the first one.
    seeds: int = 2
    #: The share of the best configurations that is repeated, as a search's pick is usually one of
    #: them. A tenth of the others is repeated as well, evenly over all ranks.
    best: float = 0.1
    #: The key of the study file that names a file of images that isn't in the repository.
    data: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One table's study and budget."""

    name: str
    folder: Path
    budget: float
    #: The accuracy of a guess, 0..1.
    chance: float
    #: (channels, height, width) and the number of classes; guessed if not in ``NAME.json``.
    input_shape: tuple[int, int, int] | None = None
    classes: int | None = None
    #: Number of training images; a thousand if not in ``NAME.json``.
    training: int = 1000
    #: The name of the images: a prior isn't evaluated on images that it was built with.
    data_set: str = ""
    #: ``None`` for a table that was recorded elsewhere.
    recording: Recording | None = None

    def study(self, overrides: Sequence[str] = (), *, data: Path | None = None) -> StudyFile:
        """Return the study; ``data`` is its file of images if it names one."""
        changes = [*overrides]
        if data is not None and self.recording is not None and self.recording.data is not None:
            changes.append(f"{self.recording.data}={data}")
        file = self.folder / f"{self.name}.yaml"
        return load_study(file, component_registries.registries, overrides=changes)

    @property
    def images(self) -> Images:
        """The data that a configuration trains on."""
        shape, classes = self.input_shape, self.classes
        if shape is None:
            size = self.study().space.fixed().get("data.input_size") or 28
            shape = (1, int(size), int(size))
        return Images(shape, classes or max(2, round(1 / self.chance)), self.training)


def names_in(folder: Path) -> list[str]:
    """Return the tables of a folder that can be replayed, sorted."""
    return sorted(
        file.name.removesuffix(_CONFIGURATIONS) for file in folder.glob(f"*{_CONFIGURATIONS}")
    )


def plans_in(folder: Path) -> list[str]:
    """Return the tables of a folder that define how they are recorded, sorted."""
    described = (read_recorded(file.stem, folder) for file in sorted(folder.glob("*.json")))
    return [recorded.name for recorded in described if recorded.recording is not None]


def read_recorded(name: str, folder: Path = TABLES) -> Recorded:
    """Read ``NAME.json``.

    Raises:
        UserError: A file of the table is missing, or ``NAME.json`` lacks a key.
    """
    for file in (folder / f"{name}.json", folder / f"{name}.yaml"):
        if not file.is_file():
            raise UserError(
                f"table {name!r} needs {file.name} beside its rows, but {file} doesn't exist"
            )
    content: Mapping[str, Any] = json.loads((folder / f"{name}.json").read_text())
    for key in ("budget", "chance"):
        if not isinstance(content.get(key), int | float):
            raise UserError(f"{folder / name}.json must give {key}, a number, but has {content}")
    shape = content.get("input_shape")
    return Recorded(
        name=name,
        folder=folder,
        budget=content["budget"],
        chance=content["chance"],
        input_shape=None if shape is None else (shape[0], shape[1], shape[2]),
        classes=content.get("classes"),
        training=content.get("training", Recorded.training),
        data_set=content.get("data_set", name),
        recording=Recording(**content["record"]) if "record" in content else None,
    )
