"""What to search, and how, for pictures like these: decisions that need no measurement."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from hpsearch.starter.inspection import Findings

#: Edges in pixels that are worth trying; networks that start with random weights gain little above.
_EDGES = (32, 48, 64, 96, 128, 160)

#: Classes are uneven if the largest has this many times the images of the smallest.
_UNEVEN = 2.0
#: With fewer training images, one split of them into two parts shows too little.
_FEW_IMAGES, _FOLDS = 500, 5
_VALIDATION = 0.2

#: Class names whose pictures mean something else when they are mirrored.
_SIDED = re.compile(
    r".|[0-9]+|(?:letter|digit|char(?:acter)?|class)[-_ ]?.|left.*|right.*|.*[-_ ](?:left|right)"
    r"|zero|one|two|three|four|five|six|seven|eight|nine",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network of the search space."""

    name: str
    #: Its keys, each a line of YAML.
    keys: tuple[str, ...]
    #: What it is, for the comment.
    what: str


#: From the cheapest to the dearest epoch.
MODELS = (
    Model(
        name="simple_cnn",
        keys=(
            "conv1_channels: {values: [16, 32]}",
            "conv2_channels: {values: [32, 64]}",
            "dropout: {values: [0.0, 0.25, 0.5]}",
        ),
        what="two convolutions and a dense layer: quick, enough for simple pictures",
    ),
    Model(
        name="airbench",
        keys=("width: {values: [16, 32]}", "dropout: {values: [0.0, 0.25]}"),
        what="seven convolutions with batch norm: learns in few epochs",
    ),
    Model(
        name="resnet18",
        keys=("dropout: {values: [0.0, 0.25]}",),
        what="eighteen layers with shortcuts: often the best, and slow on a CPU",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How pictures like these are searched."""

    #: The metric that ranks trials.
    objective: str
    #: Whether rare classes count for more in training.
    balanced: bool
    #: Folds of the cross-validation; ``None``: one split.
    folds: int | None
    #: The share of the training images that validates, without folds and a part of its own.
    validation: float
    #: Input sizes in pixels, ascending; ``None`` alone if pictures keep their own size.
    sizes: tuple[int | None, ...]
    #: Whether pictures are mirrored at random in training.
    flip: bool
    batch_sizes: tuple[int, ...]


def recipe_for(findings: Findings) -> Recipe:
    """Return the recipe for what was found."""
    counts = [count for count in findings.per_class if count]
    uneven = max(counts) >= _UNEVEN * min(counts)
    few = findings.images < _FEW_IMAGES and findings.val_images is None
    # Every class trains beside every fold, so it needs two images or groups
    folds = _FOLDS if few and findings.fewest_groups > 1 else None
    sided = sum(_SIDED.fullmatch(name) is not None for name in findings.class_names)
    return Recipe(
        objective="val_balanced_accuracy" if uneven else "val_accuracy",
        balanced=uneven,
        folds=folds,
        validation=_validation(findings),
        sizes=_sizes(findings),
        flip=sided < 2,
        batch_sizes=(16, 32, 64) if findings.images < 2 * _FEW_IMAGES else (32, 64, 128),
    )


def _validation(findings: Findings) -> float:
    """Return the usual share, or one with which every class has an image in it."""
    one_each = math.ceil(100 * len(findings.class_names) / findings.images) / 100
    return min(max(_VALIDATION, one_each), 0.5)


def _sizes(findings: Findings) -> tuple[int | None, ...]:
    """Return the edges to try: none is larger than the pictures."""
    edge = findings.edges[1]
    if findings.one_size and edge <= _EDGES[2]:
        return (None,)
    sizes = [size for size in _EDGES if size <= edge]
    if edge < _EDGES[0]:
        sizes = [edge]
    return tuple(sizes)
