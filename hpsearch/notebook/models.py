"""Trained models in Python: a study's winner, or the folder that ``export --bundle`` wrote."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hpsearch.training.classifier import Classifier
    from hpsearch.workers.winner.labelling import Prediction

#: A picture or a folder of pictures, or several of them.
Pictures = str | Path | Iterable[str | Path]


class Model:
    """A trained model: pictures in, classes out.

    ``load_model`` and ``Study.load_model`` return it.
    """

    def __init__(self, classifier: Classifier, name: str) -> None:
        self._classifier = classifier
        self._name = name

    def __repr__(self) -> str:
        """Return the model's name, its input and its number of classes."""
        size = " x ".join(map(str, self.input_shape))
        return f"<Model {self._name}: {size} to {len(self.classes)} classes>"

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the outputs."""
        return self._classifier.signature.class_names

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape of an image: (channels, height, width)."""
        return self._classifier.signature.input_shape

    @property
    def module(self) -> nn.Module:
        """The trained ``torch.nn.Module``, in evaluation mode, with its weights on its device.

        It takes normalised images, float32 (n, channels, height, width), as ``pixels`` returns
        them, and returns logits, (n, classes). You may train it further: it is this model's own.
        """
        return self._classifier.model

    def pixels(self, pictures: Pictures) -> Tensor:
        """Return pictures as ``module`` takes them, float32 (n, channels, height, width).

        They are decoded, resized and normalised as in training.

        Raises:
            UserError: A picture is missing or damaged, or a folder contains none.
        """
        import torch

        from hpsearch.workers.winner.labelling import find_pictures

        files = find_pictures(_paths(pictures)).files
        return self._classifier.normalised(torch.stack([self._classifier.read(f) for f in files]))

    def predict(self, pictures: Pictures, *, top: int = 1) -> list[Prediction]:
        """Label pictures, as ``hpsearch predict`` does.

        Args:
            pictures: Picture files, and folders of them.
            top: How many classes per picture, at least 1.

        Returns:
            A prediction for each picture: ``path``, ``label``, ``probability`` (0..1), and
            ``classes``, the ``top`` most probable ones with their probabilities. ``problem`` says
            why a picture can't be read; then ``label`` raises it.

        Raises:
            UserError: A folder contains no picture, or ``top`` is below 1.
        """
        from hpsearch.workers.winner.labelling import find_pictures, label

        if top < 1:
            raise UserError(f"top must be at least 1, but got {top}")
        return list(label(self._classifier, find_pictures(_paths(pictures)), top=top))


def load_model(folder: str | Path, *, device: str = "cpu") -> Model:
    """Read the folder of a model, which ``export --bundle`` or ``train --out`` wrote.

    It needs neither the study nor its training images.

    Args:
        folder: The folder.
        device: ``cpu``, ``mps``, ``cuda:0``, or ``auto``.

    Raises:
        UserError: A file is missing or damaged, or the device isn't there.
    """
    from hpsearch.workers.winner import labelling

    return Model(labelling.load_model(Path(folder), device), Path(folder).resolve().name)


def _paths(pictures: Pictures) -> list[Path]:
    several = [pictures] if isinstance(pictures, str | Path) else pictures
    return [Path(picture).expanduser() for picture in several]
