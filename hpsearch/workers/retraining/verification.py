"""Whether data and metrics are those that a frozen config records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.errors import DataError, UserError
from hpsearch.formatting import count_noun
from hpsearch.metrics import EpochMetrics
from hpsearch.results.confirmation.over_groups import OVER_GROUPS, of_json
from hpsearch.results.export.matrix_metrics import share_interval
from hpsearch.study_file.study import StudyFile
from hpsearch.training.data.place import data_root
from hpsearch.training.data.prepare import build_source, prepare

_COMPARED = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """The result that a frozen config predicts for one more training."""

    metric: str
    #: The value of the recorded training.
    recorded: float
    #: Bounds of the value of one more training.
    low: float
    high: float
    #: What the interval is.
    why: str
    #: Every metric of the recorded training, at the epoch of its value.
    figures: Mapping[str, Any]

    @property
    def epoch(self) -> int:
        """The epoch of the recorded metrics."""
        return int(self.figures["epoch"])


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of a verification."""

    metric: str
    #: ``None``: the training ended before the recorded epoch.
    value: float | None
    expected: Expectation
    #: Whether every compared metric equals the recorded value, to the last digit.
    exact: bool

    @property
    def holds(self) -> bool:
        """Whether the value is within the interval of the config."""
        return self.value is not None and self.expected.low <= self.value <= self.expected.high


def data_differences(study: StudyFile, *, data: Path | None) -> list[str]:
    """Compare images and split with those of the config, before any training.

    Returns:
        One sentence per difference.

    Raises:
        DataError: The data source isn't here.
        UserError: The config has no data hash.
    """
    origin = study.provenance or {}
    data_hash = origin.get("data_hash")
    if not isinstance(data_hash, str):
        raise UserError(
            "a frozen config must contain the hash of its images (provenance.data_hash), but this "
            "one doesn't; export it with `hpsearch export`"
        )
    config = study.trial_config({}, ticket=1)
    build_source(config.data, data_root(data), may_download=True)
    try:
        prepared = prepare(config.data, split_seed=config.split_seed, root=data)
    except DataError as error:
        # The source is there, and was readable when the config was made
        return [f"data: the images can't be read: {error}"]
    differences = []
    if prepared.data_hash != data_hash:
        differences.append(
            f"data: images differ from those that the config was made with: expected {data_hash}, "
            f"found {prepared.data_hash}"
        )
    split = origin.get("split_hash")
    if isinstance(split, str) and prepared.split_hash != split:
        differences.append(
            f"split: training and validation images are divided differently: expected {split}, "
            f"found {prepared.split_hash}"
        )
    return differences


def expectation(study: StudyFile) -> Expectation:
    """Return the result that one more training should have.

    For a confirmed config that is the prediction interval of its fresh seeds. Otherwise it is the
    recorded accuracy with its 95 % interval over the validation images or their groups.

    Raises:
        UserError: The config has no metrics, or is unconfirmed and has no number of validation
            images.
    """
    origin = study.provenance or {}
    metrics, confirmation = origin.get("figures"), origin.get("confirmed")
    objective = study.objective
    own = metrics.get(objective.at) if isinstance(metrics, Mapping) else None
    if not isinstance(own, Mapping) or not {"epoch", *_COMPARED} <= set(own):
        raise UserError(
            "only a config with the metrics of its training can be verified, but this one has none "
            "(provenance.figures); export it with `hpsearch export`"
        )
    if isinstance(confirmation, Mapping) and confirmation.get("next_training") is not None:
        low, high = confirmation["next_training"]
        metric = str(confirmation["metric"])
        if metric in own:
            return Expectation(
                metric=metric,
                recorded=own[metric],
                low=low,
                high=high,
                why=f"the 95 % interval of one more training, from {len(confirmation['seeds'])} "
                "fresh seeds",
                figures=own,
            )
    images = origin.get("val_images")
    if not isinstance(images, int) or images < 1:
        raise UserError(
            "the interval of an unconfirmed value needs the number of validation images "
            "(provenance.val_images), but this config doesn't contain it; export it again"
        )
    accuracy = float(own["val_accuracy"])
    low, high = share_interval(round(accuracy * images), images)
    over = f"{images:,} validation images"
    over_groups = of_json(origin.get(OVER_GROUPS))
    of_groups = None
    if over_groups is not None and "val_accuracy" in over_groups.figures:
        of_groups = over_groups.figures["val_accuracy"].interval(accuracy, share=True)
        low, high = of_groups or (0.0, 1.0)
        over += f" in {count_noun(over_groups.groups, 'group')}"
    elif origin.get("lacks_groups"):
        over += " (too narrow: their groups weren't stored, so each image counts as independent)"
    return Expectation(
        metric="val_accuracy",
        recorded=accuracy,
        low=low,
        high=high,
        why=f"the 95 % interval of the recorded value over {over}, unconfirmed",
        figures=own,
    )


def judge(expected: Expectation, curve: list[EpochMetrics]) -> Verdict:
    """Compare a training with the expected result."""
    metrics = next((result for result in curve if result.epoch == expected.epoch), None)
    exact = metrics is not None and all(
        getattr(metrics, name) == expected.figures[name] for name in _COMPARED
    )
    return Verdict(
        metric=expected.metric,
        value=None if metrics is None else metrics.value(expected.metric),
        expected=expected,
        exact=exact,
    )
