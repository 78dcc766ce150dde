"""The metrics of a model card: each with its interval, and the winner's comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.formatting import count_noun, format_percent
from hpsearch.metrics import OBJECTIVES, MetricFormat, is_share
from hpsearch.results.confirmation.judging import per_class
from hpsearch.results.confirmation.over_groups import OverGroups, of_json
from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.confirmation.verdict import optimism_in_words
from hpsearch.results.export.confirmed import INTERVAL_LACKS_GROUPS
from hpsearch.results.export.matrix_metrics import (
    balanced_accuracy,
    bootstrap_interval,
    macro_f1,
    share_interval,
)
from hpsearch.results.markdown import filled_table, inline, table
from hpsearch.results.winner import LACKS_GROUPS

#: Largest number of classes for which a confusion matrix is printed.
_PRINTED_CLASSES = 30


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The predictions for images, and their description."""

    #: Images by true class (rows) and predicted class.
    confusion: Sequence[Sequence[int]]
    #: Description, such as "the validation images, by the weights after epoch 9".
    what: str
    #: Whether each image counts once; then shares of images have binomial intervals.
    once: bool
    #: Errors of the shares over groups of images; ``None`` if they aren't known.
    over_groups: OverGroups | None = None
    #: Whether the images come in groups.
    grouped: bool = False
    #: The interval of each class's recall over seeds and images; empty for a single training.
    recall: Sequence[Interval | None] = ()


def metrics_of(origin: Mapping[str, Any], judgement: Judgement | None) -> str:
    """Return the section of metrics, with their uncertainty."""
    rows: list[tuple[str, str, str, str]] = []
    confirmed = origin.get("confirmed")
    if isinstance(confirmed, Mapping):
        seeds = len(confirmed["seeds"])
        name = f"{confirmed['metric']}, mean of {seeds} fresh seeds"
        alone = confirmed.get("groups") is None
        both = f"seeds and {'validation images' if alone else _groups(confirmed)}"
        rows.append((name, *_mean_and_interval(confirmed, "interval_over_seeds_and_images"), both))
        rows.append((name, *_mean_and_interval(confirmed, "interval_over_seeds"), "seeds"))
        rows.append(
            (
                "one more training",
                "-",
                bounds(confirmed["next_training"], confirmed["metric"]),
                "prediction",
            )
        )
    last = (origin.get("figures") or {}).get("last")
    images = origin.get("val_images")
    if last is not None:
        rows += list(_own(last, images, origin, judgement))
    test = origin.get("test")
    if test is not None:
        for name, metric in (test.get("others") or {}).items():
            rows.append(
                (
                    f"test {inline(name.removeprefix('val_'))} (trial {test['trial']})",
                    number(metric["value"], name),
                    bounds(metric["interval"], name),
                    "seeds and test images" if test.get("seeds") else "test images",
                )
            )
        over = "test images" if test.get("groups") is None else _groups(test, "test images")
        rows.append(
            (
                f"test accuracy (trial {test['trial']}, {test['images']:,} images)",
                number(test["accuracy"]),
                bounds(test["interval"]),
                f"seeds and {over}" if test.get("seeds") else over,
            )
        )
    text = "## Metrics"
    if rows:
        text += "\n\n" + filled_table(("metric", "value", "95 % interval", "over"), rows)
    if isinstance(confirmed, Mapping) and confirmed.get("lacks_groups"):
        text += f"\n\n**{LACKS_GROUPS}**"
    elif origin.get("lacks_groups") or (test or {}).get("lacks_groups"):
        text += f"\n\n**{INTERVAL_LACKS_GROUPS}**"
    if isinstance(confirmed, Mapping):
        text += "\n\n" + _comparisons(confirmed)
    opened = (
        "Test images: not opened."
        if test is None
        else f"Test images: opened {count_noun(test['opened'], 'time')}; the value is from the "
        "first evaluation, the only one that is a test."
    )
    return text + "\n\n" + opened


def classes_of(
    origin: Mapping[str, Any], judgement: Judgement | None, *, picture: str | None = None
) -> str:
    """Return the section of metrics by class; empty if there are none.

    Args:
        origin: The provenance of a frozen config.
        judgement: The predictions for images; ``None`` without any.
        picture: The file with a picture of the matrix beside the card; ``None`` without one.
    """
    names = origin.get("class_names")
    if judgement is None or not names:
        return ""
    matrix = np.asarray(judgement.confusion, dtype=np.int64)
    rows = []
    for index, metrics in enumerate(per_class(matrix, names)):
        interval = bounds(None)
        if judgement.once and metrics.images and metrics.recall is not None:
            interval = bounds(_recall_interval(judgement, index, metrics.recall, metrics.images))
        elif (
            index < len(judgement.recall)
            and (recall_interval := judgement.recall[index]) is not None
        ):
            interval = bounds((recall_interval.low, recall_interval.high))
        shares = (metrics.precision, metrics.recall, metrics.f1)
        precision, recall, f1 = map(number, shares)
        rows.append((metrics.name, f"{metrics.images:,}", precision, recall, interval, f1))
    columns = ("class", "images", "precision", "recall", "95 % of recall", "F1")
    text = f"## Classes\n\nOf {judgement.what}.\n\n" + filled_table(columns, rows)
    if picture is not None:
        text += f"\n\n![Confusion matrix: images by true class and predicted class]({picture})"
    if len(names) <= _PRINTED_CLASSES:
        cells = [(name, *map(str, row)) for name, row in zip(names, matrix.tolist(), strict=True)]
        text += "\n\nImages by true class (rows) and predicted class:\n\n"
        text += table(("true class", *names), cells)
    return text


def _recall_interval(
    judgement: Judgement, index: int, recall: float, images: int
) -> Sequence[float] | None:
    if not judgement.grouped:
        return share_interval(round(recall * images), images)
    over_groups = judgement.over_groups
    if over_groups is None or index >= len(over_groups.recall):
        return None
    return over_groups.recall[index].interval(recall, share=True)


def _own(
    last: Mapping[str, Any],
    images: int | None,
    origin: Mapping[str, Any],
    judgement: Judgement | None,
) -> Iterable[tuple[str, str, str, str]]:
    of = f"this training, epoch {last['epoch']}"
    grouped, over_groups = origin.get("val_groups") is not None, of_json(origin.get("over_groups"))
    over = _groups({"groups": origin["val_groups"]}) if grouped else "validation images"

    def of_groups(name: str) -> str:
        value = last.get(name)
        if over_groups is None or value is None or name not in over_groups.figures:
            return bounds(None)  # a binomial interval would be too narrow
        return bounds(over_groups.figures[name].interval(value, share=is_share(name)), name)

    interval = of_groups("val_accuracy") if grouped else bounds(None)
    if not grouped and images and last.get("val_accuracy") is not None:
        interval = bounds(share_interval(round(last["val_accuracy"] * images), images))
    yield f"val_accuracy, {of}", number(last.get("val_accuracy")), interval, over
    loss = of_groups("val_loss") if grouped else bounds(None)
    loss_value = number(last.get("val_loss"), "val_loss")
    yield f"val_loss, {of}", loss_value, loss, over
    once = judgement is not None and judgement.once
    for name, figure in (("val_macro_f1", macro_f1), ("val_balanced_accuracy", balanced_accuracy)):
        if last.get(name) is None:
            continue
        interval = of_groups(name) if grouped else bounds(None)
        if not grouped and once and judgement is not None and _same(last, judgement):
            interval = bounds(bootstrap_interval(judgement.confusion, figure))
        yield f"{name}, {of}", number(last.get(name)), interval, over
    for name in last:
        if name not in OBJECTIVES and name not in ("epoch", "train_accuracy", "train_loss"):
            interval = of_groups(name) if grouped else bounds(None)
            yield f"{inline(name)}, {of}", number(last[name], name), interval, over


def _groups(metrics: Mapping[str, Any], images: str = "validation images") -> str:
    """Return ``groups of validation images (71)``."""
    return f"groups of {images} ({metrics['groups']:,})"


def _same(last: Mapping[str, Any], judgement: Judgement) -> bool:
    """Whether the matrix is that of the metrics: with `at: best` it may be another epoch's."""
    matrix = np.asarray(judgement.confusion)
    return bool(matrix.sum()) and abs(np.trace(matrix) / matrix.sum() - last["val_accuracy"]) < 1e-9


def _comparisons(confirmed: Mapping[str, Any]) -> str:
    metric, optimism = confirmed["metric"], confirmed["optimism"]
    form = MetricFormat(metric)
    lines = [
        f"- Best seen in the search: {number(confirmed['best_seen'], metric)}, one seed, the best "
        f"of {inline(confirmed['complete_trials'])} complete trials. Optimism: "
        f"{'-' if optimism is None else optimism_in_words(optimism, metric)}."
    ]
    for key, name in (("runner_up", "the runner-up"), ("first_tried", "the first `try_first`")):
        other = confirmed.get(key)
        if other is not None:
            verdict = "" if other["distinguishable"] else "not "
            lines.append(
                f"- Against {name} (trial {inline(other['trial'])}): "
                f"{form.difference(other['ahead'])} (95 %: "
                f"{form.differences(*other['interval'])}), {verdict}distinguishable."
            )
    if confirmed.get("chance_of_best") is not None:
        lines.append(
            f"- P(best of the {inline(confirmed['finalists'])} finalists): "
            f"{format_percent(confirmed['chance_of_best'])}."
        )
    return "\n".join(lines)


def _mean_and_interval(confirmed: Mapping[str, Any], key: str) -> tuple[str, str]:
    metric = confirmed["metric"]
    return number(confirmed["mean"], metric), bounds(confirmed[key], metric)


def bounds(interval: Sequence[float] | None, metric: str = "val_accuracy") -> str:
    """Return ``93.10 to 94.20 %``; ``-`` without an interval."""
    return MetricFormat(metric).interval(interval)


def number(value: float | None, metric: str = "val_accuracy") -> str:
    """Return a value of ``metric``, by default a share, as a card shows it; ``-`` without one."""
    return MetricFormat(metric).value(value)
