"""The figures of a model card: each with its interval, and what the winner was compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.results.confirmation.judging import per_class
from hpsearch.results.export.figures import (
    balanced_accuracy,
    bootstrap_interval,
    macro_f1,
    share_interval,
)
from hpsearch.results.markdown import inline, table

#: A confusion matrix is printed for as many classes.
_PRINTED_CLASSES = 30


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How images were classified, and which images by what."""

    #: Images by true class (rows) and predicted class.
    confusion: Sequence[Sequence[int]]
    #: As in "the validation images, by the weights after epoch 9".
    what: str
    #: Whether each image was judged once; then shares of images have binomial intervals.
    once: bool


def figures_of(origin: Mapping[str, Any], judgement: Judgement | None) -> str:
    """Return the section of figures, and of how sure they are."""
    rows: list[tuple[str, str, str, str]] = []
    confirmed = origin.get("confirmed")
    if isinstance(confirmed, Mapping):
        seeds = len(confirmed["seeds"])
        name = f"{confirmed['metric']}, mean of {seeds} fresh seeds"
        both = "seeds and validation images"
        rows.append((name, *_ranged(confirmed, "interval_over_seeds_and_images"), both))
        rows.append((name, *_ranged(confirmed, "interval_over_seeds"), "seeds"))
        rows.append(("one more training", "", bounds(confirmed["next_training"]), "prediction"))
    last = (origin.get("figures") or {}).get("last")
    images = origin.get("val_images")
    if last is not None:
        rows += list(_own(last, images, judgement))
    test = origin.get("test")
    if test is not None:
        rows.append(
            (
                f"test accuracy (trial {test['trial']}, {test['images']:,} images)",
                number(test["accuracy"]),
                bounds(test["interval"]),
                "test images",
            )
        )
    told = "## Figures\n\n" + table(("figure", "value", "95 % interval", "over"), rows)
    if isinstance(confirmed, Mapping):
        told += "\n\n" + _compared(confirmed)
    opened = (
        "Test images: not opened."
        if test is None
        else f"Test images: opened {inline(test['opened'])} time(s); the figure is that of the "
        "first look, the only one that is a test."
    )
    return told + "\n\n" + opened


def classes_of(origin: Mapping[str, Any], judgement: Judgement | None) -> str:
    """Return the section of figures by class; empty where nothing is known of them."""
    names = origin.get("class_names")
    if judgement is None or not names:
        return ""
    matrix = np.asarray(judgement.confusion, dtype=np.int64)
    rows = []
    for each in per_class(matrix, names):
        interval = ""
        if judgement.once and each.images and each.recall is not None:
            interval = bounds(share_interval(round(each.recall * each.images), each.images))
        shares = (each.precision, each.recall, each.f1)
        precision, recall, f1 = map(number, shares)
        rows.append((each.name, f"{each.images:,}", precision, recall, interval, f1))
    columns = ("class", "images", "precision", "recall", "95 %", "F1")
    told = f"## Classes\n\nOf {judgement.what}.\n\n" + table(columns, rows)
    if len(names) <= _PRINTED_CLASSES:
        cells = [(name, *map(str, row)) for name, row in zip(names, matrix.tolist(), strict=True)]
        told += "\n\nImages by true class (rows) and predicted class:\n\n"
        told += table(("", *names), cells)
    return told


def _own(
    last: Mapping[str, Any], images: int | None, judgement: Judgement | None
) -> Iterable[tuple[str, str, str, str]]:
    of = f"this training, epoch {last['epoch']}"
    interval = ""
    if images and last.get("val_accuracy") is not None:
        interval = bounds(share_interval(round(last["val_accuracy"] * images), images))
    yield f"val_accuracy, {of}", number(last.get("val_accuracy")), interval, "validation images"
    yield f"val_loss, {of}", number(last.get("val_loss")), "", ""
    known = judgement is not None and judgement.once
    for name, figure in (("val_macro_f1", macro_f1), ("val_balanced_accuracy", balanced_accuracy)):
        interval = ""
        if known and judgement is not None and _same(last, judgement):
            interval = bounds(bootstrap_interval(judgement.confusion, figure))
        yield f"{name}, {of}", number(last.get(name)), interval, "validation images"


def _same(last: Mapping[str, Any], judgement: Judgement) -> bool:
    """Whether the matrix is that of the figures: with `at: best` it may be another epoch's."""
    matrix = np.asarray(judgement.confusion)
    return bool(matrix.sum()) and abs(np.trace(matrix) / matrix.sum() - last["val_accuracy"]) < 1e-9


def _compared(confirmed: Mapping[str, Any]) -> str:
    lines = [
        f"- Best seen in the search: {number(confirmed['best_seen'])}, one seed, the best of "
        f"{inline(confirmed['complete_trials'])} complete trials. Optimism: "
        f"{number(confirmed['optimism'])}."
    ]
    for key, name in (("runner_up", "the runner-up"), ("first_tried", "the first `try_first`")):
        other = confirmed.get(key)
        if other is not None:
            verdict = "" if other["distinguishable"] else "not "
            lines.append(
                f"- Against {name} (trial {inline(other['trial'])}): ahead by "
                f"{number(other['ahead'])} ({bounds(other['interval'])}), {verdict}distinguishable."
            )
    if confirmed.get("chance_of_best") is not None:
        lines.append(
            f"- P(best of the {inline(confirmed['finalists'])} finalists): "
            f"{number(confirmed['chance_of_best'])}."
        )
    return "\n".join(lines)


def _ranged(confirmed: Mapping[str, Any], key: str) -> tuple[str, str]:
    return number(confirmed["mean"]), bounds(confirmed[key])


def bounds(interval: Sequence[float] | None) -> str:
    """Return ``0.9310 to 0.9420``."""
    return "" if interval is None else f"{number(interval[0])} to {number(interval[1])}"


def number(value: float | None) -> str:
    """Return a share or a loss as a card shows it."""
    return "" if value is None else f"{value:.4f}"
