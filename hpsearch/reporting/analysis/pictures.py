"""Pictures that trainings get wrong: the hardest ones, and those whose label is probably wrong.

A confirmation predicts each validation image by models that weren't trained on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpsearch.results.confirmation.predictions import Predictions

#: Most predicted classes that are listed for a picture.
GUESSES = 3

#: A label is probably wrong if at least so many trainings predict the picture, all of them as one
#: other class, and give its label at most this probability on average. Measured with planted
#: errors (``benchmarks.label_errors``).
LEAST_TRAININGS, LARGEST_PROBABILITY = 2, 0.02


@dataclass(frozen=True, kw_only=True)
class HardPicture:
    """An image that some training gets wrong."""

    #: Row in the prepared data (``hpsearch.training.data``), and its class by its label.
    row: int
    truth: str
    #: The most frequent wrong class, and the number of trainings that predict it.
    taken_for: str
    times: int
    #: The classes that most trainings predict, the right one included, and their numbers of
    #: trainings: at most ``GUESSES``, the most frequent first.
    guesses: tuple[tuple[str, int], ...]
    #: Number of trainings that are wrong, number of all trainings, mean cross-entropy.
    wrong: int
    trainings: int
    loss: float
    #: The mean probability of its label, 0..1.
    probability: float

    @property
    def is_label_error(self) -> bool:
        """Whether its label is probably wrong."""
        return (
            self.times == self.trainings >= LEAST_TRAININGS
            and self.probability <= LARGEST_PROBABILITY
        )


@dataclass(frozen=True, kw_only=True)
class WrongPictures:
    """The images that trainings get wrong."""

    #: Those whose label is probably wrong, the least probable label first.
    label_errors: tuple[HardPicture, ...] = ()
    #: The others, the most often wrong first.
    hardest: tuple[HardPicture, ...] = ()
    #: Images that enough trainings predicted to find a label error.
    judged: int = 0


def wrong_pictures(
    trainings: Sequence[Predictions], names: Sequence[str], *, at_most: int
) -> WrongPictures:
    """Return the images that trainings get wrong.

    Equally often wrong images are in descending order of loss. The hardest leave out an image that
    fewer than half as many trainings predicted as predicted the most frequent one: wrong in one of
    one shows little.

    Args:
        trainings: Predictions of one training each; at least one.
        names: Class names, in the order of the class indices.
        at_most: Largest number of the hardest images; label errors are all listed.
    """
    rows = np.concatenate([training.rows for training in trainings])
    order = np.argsort(rows, kind="stable")
    truth = np.concatenate([training.truth for training in trainings])[order]
    predictions = np.concatenate([training.predicted for training in trainings])[order]
    loss = np.concatenate([training.loss for training in trainings])[order]
    images, first, counts = np.unique(rows[order], return_index=True, return_counts=True)
    if not len(images):
        return WrongPictures()
    error_counts = np.add.reduceat((predictions != truth).astype(np.int64), first)
    pictures = [
        _picture(int(images[place]), truth[span], predictions[span], loss[span], names)
        for place in np.flatnonzero(error_counts)
        for span in [slice(first[place], first[place] + counts[place])]
    ]
    errors = [picture for picture in pictures if picture.is_label_error]
    others = [
        picture
        for picture in pictures
        if not picture.is_label_error and 2 * picture.trainings >= counts.max()
    ]
    return WrongPictures(
        label_errors=tuple(sorted(errors, key=lambda picture: picture.probability)),
        hardest=tuple(
            sorted(others, key=lambda picture: (-picture.wrong / picture.trainings, -picture.loss))[
                :at_most
            ]
        ),
        judged=int((counts >= LEAST_TRAININGS).sum()),
    )


def _picture(
    row: int, truth: np.ndarray, predictions: np.ndarray, loss: np.ndarray, names: Sequence[str]
) -> HardPicture:
    label, votes = int(truth[0]), np.bincount(predictions)
    errors = votes.copy()
    errors[label : label + 1] = 0
    most = int(errors.argmax())
    frequent = np.argsort(-votes, kind="stable")[:GUESSES]
    return HardPicture(
        row=row,
        truth=_name(names, label),
        taken_for=_name(names, most),
        times=int(errors[most]),
        guesses=tuple(
            (_name(names, int(index)), int(votes[index])) for index in frequent if votes[index]
        ),
        wrong=int(errors.sum()),
        trainings=len(predictions),
        loss=float(loss.mean()),
        probability=float(np.exp(-loss).mean()),
    )


def _name(names: Sequence[str], index: int) -> str:
    return names[index] if index < len(names) else str(index)
