"""Labels that a trained model gives to pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hpsearch.errors import UserError
from hpsearch.formatting import count_noun
from hpsearch.results.export.bundle import read_bundle
from hpsearch.training.classifier import Classifier
from hpsearch.training.data.images import DamagedPicture
from hpsearch.training.data.picture_files import SUFFIXES, by_ending, ending, is_picture
from hpsearch.workers.devices import resolve_devices
from hpsearch.workers.gpu import open_device

#: Pictures decoded and classified at a time; bounds the memory.
_CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One picture: its most probable classes, or why it can't be read."""

    path: Path
    #: Name and probability, the most probable first.
    classes: tuple[tuple[str, float], ...] = ()
    problem: str | None = None

    @property
    def label(self) -> str:
        """The most probable class.

        Raises:
            UserError: The picture can't be read.
        """
        return self._first[0]

    @property
    def probability(self) -> float:
        """The probability of ``label``, 0..1.

        Raises:
            UserError: The picture can't be read.
        """
        return self._first[1]

    @property
    def _first(self) -> tuple[str, float]:
        if self.problem is not None:
            raise UserError(self.problem)
        return self.classes[0]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Picture files, and the number of other files in their folders, by ending."""

    files: tuple[Path, ...]
    left_out: Counter[str]

    @property
    def note(self) -> str | None:
        """A sentence about the files that were left out; ``None`` if there are none."""
        if not self.left_out:
            return None
        count = self.left_out.total()
        return (
            f"{count_noun(count, 'file')} {'is' if count == 1 else 'are'} left out, because their "
            f"endings aren't those of pictures{by_ending(self.left_out)}"
        )


def load_model(folder: Path, device: str) -> Classifier:
    """Read the folder of a model.

    Raises:
        UserError: A file is missing or damaged, or the device isn't there.
    """
    return read_bundle(folder, device=open_classifier_device(device))[1]


def open_classifier_device(device: str) -> str:
    """Return the device that ``device`` names, after it has computed something.

    Raises:
        UserError: The device isn't there, or ``device`` names none.
    """
    where = resolve_devices(device)[0]
    open_device(where)
    return where


def label(classifier: Classifier, pictures: Pictures, *, top: int) -> Iterator[Prediction]:
    """Label pictures, in their order.

    Args:
        classifier: The model.
        pictures: The picture files.
        top: How many classes per picture, the most probable first.

    Yields:
        The labels of each picture, or why it can't be read.
    """
    files = pictures.files
    for start in range(0, len(files), _CHUNK):
        yield from _label(classifier, files[start : start + _CHUNK], top)


def find_pictures(places: Sequence[Path]) -> Pictures:
    """Return the picture files among ``places``, and those in and below the folders among them.

    Raises:
        UserError: A folder contains no picture.
    """
    files: list[Path] = []
    left_out: Counter[str] = Counter()
    for place in places:
        if not place.is_dir():
            files.append(place)  # a missing file is reported when it is read
            continue
        # Only folders are skipped: other files that aren't regular are reported when they are read
        inside = [
            path for path in place.rglob("*") if not path.name.startswith(".") and not path.is_dir()
        ]
        pictures = sorted(path for path in inside if is_picture(path.name))
        others = Counter(ending(path.name) for path in inside if not is_picture(path.name))
        if not pictures:
            raise UserError(
                f"a folder must contain pictures ({', '.join(sorted(SUFFIXES))}), but {place} and "
                f"the folders below it contain none{by_ending(others)}"
            )
        files += pictures
        left_out += others
    return Pictures(files=tuple(files), left_out=left_out)


def _label(classifier: Classifier, files: Sequence[Path], top: int) -> Iterable[Prediction]:
    predictions: dict[int, Prediction] = {}
    images, whole = [], []
    for index, path in enumerate(files):
        try:
            images.append(classifier.read(path))
            whole.append(index)
        except DamagedPicture as error:
            problem = f"a picture must be a file that can be decoded, but this one can't: {error}"
            predictions[index] = Prediction(path=path, problem=problem)
    if images:
        names = classifier.signature.class_names
        shares = classifier.probabilities(torch.stack(images))
        best = shares.topk(min(top, len(names)), dim=1)
        for index, values, classes in zip(
            whole, best.values.tolist(), best.indices.tolist(), strict=True
        ):
            likely = tuple((names[c], value) for c, value in zip(classes, values, strict=True))
            predictions[index] = Prediction(path=files[index], classes=likely)
    return [predictions[index] for index in range(len(files))]
