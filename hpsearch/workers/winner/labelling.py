"""Pictures labelled by a trained model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hpsearch.errors import UserError
from hpsearch.results.export.bundle import read_bundle
from hpsearch.training.classifier import Classifier
from hpsearch.training.data.images import DamagedPicture
from hpsearch.training.data.picture_files import SUFFIXES
from hpsearch.workers.devices import resolve_devices
from hpsearch.workers.gpu import open_device

#: Pictures decoded and classified at a time; bounds the memory.
_CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One picture: its most probable classes, or what is wrong with it."""

    path: Path
    #: Name and probability, the most probable first.
    classes: tuple[tuple[str, float], ...] = ()
    problem: str | None = None


def load_model(folder: Path, device: str) -> Classifier:
    """Read the folder of a model. Raises ``UserError`` naming the file that is wrong."""
    where = resolve_devices(device)[0]
    open_device(where)
    return read_bundle(folder, device=where)[1]


def label(classifier: Classifier, places: Sequence[Path], *, top: int) -> Iterator[Labelled]:
    """Label picture files, and those in folders (and below them), in the order given.

    Raises ``UserError`` where a folder holds no picture.
    """
    files = [file for place in places for file in _pictures(place)]
    for start in range(0, len(files), _CHUNK):
        yield from _label(classifier, files[start : start + _CHUNK], top)


def _label(classifier: Classifier, files: Sequence[Path], top: int) -> Iterable[Labelled]:
    found: dict[int, Labelled] = {}
    images, whole = [], []
    for index, path in enumerate(files):
        try:
            images.append(classifier.read(path))
            whole.append(index)
        except DamagedPicture as error:
            problem = f"a picture must be a file that can be decoded, but this one can't: {error}"
            found[index] = Labelled(path=path, problem=problem)
    if images:
        names = classifier.signature.class_names
        shares = classifier.probabilities(torch.stack(images))
        best = shares.topk(min(top, len(names)), dim=1)
        for index, values, classes in zip(
            whole, best.values.tolist(), best.indices.tolist(), strict=True
        ):
            told = tuple((names[c], value) for c, value in zip(classes, values, strict=True))
            found[index] = Labelled(path=files[index], classes=told)
    return [found[index] for index in range(len(files))]


def _pictures(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]  # a missing file is told when it is read, by name
    found = sorted(
        path
        for path in place.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    if not found:
        raise UserError(
            f"a folder must hold pictures ({', '.join(sorted(SUFFIXES))}), but {place} and the "
            "folders below it hold none"
        )
    return found
