"""The model card: what a model is, what its number means, and what it cost, in Markdown.

Everything in it comes from the frozen config, so a card can be written wherever that is.
"""

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
from hpsearch.study_file.goals import Goals

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


def card(
    document: Mapping[str, Any],
    worth: str,
    judgement: Judgement | None,
    *,
    contract: str | None = None,
    weights: str | None = None,
) -> str:
    """Return the model card of a frozen config.

    ``worth`` says what its number means, ``contract`` what the input of exported models must be,
    ``weights`` which weights the files beside it hold.
    """
    origin = document["provenance"]
    parts = [
        _title(document, origin, worth),
        _figures(origin, judgement),
        _classes(origin, judgement),
        _data(document, origin),
        _model(document, origin, contract, weights),
        _cost(origin),
        _reproduction(document, origin),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(document: Mapping[str, Any], origin: Mapping[str, Any], worth: str) -> str:
    about = [f"# {origin.get('study', document['study'])}, trial {origin.get('trial', '?')}"]
    if document.get("description"):
        about.append(_plain(document["description"]))
    if isinstance(origin.get("confirmed"), Mapping):
        about.append(f"**Confirmed.** {_plain(worth)}")
    else:
        # `confirm` chooses by one objective; a point of a front is what it is, trained again
        how = (
            "`hpsearch train FILE --seeds 5`"
            if Goals.of(document).several
            else f"`hpsearch confirm --study {origin.get('study')}`"
        )
        about.append(
            f"**UNCONFIRMED.** {_plain(worth)} No fresh seed has confirmed the figure; {how} does."
        )
    return "\n\n".join(about)


def _figures(origin: Mapping[str, Any], judgement: Judgement | None) -> str:
    rows: list[tuple[str, str, str, str]] = []
    confirmed = origin.get("confirmed")
    if isinstance(confirmed, Mapping):
        seeds = len(confirmed["seeds"])
        name = f"{confirmed['metric']}, mean of {seeds} fresh seeds"
        both = "seeds and validation images"
        rows.append((name, *_ranged(confirmed, "interval_over_seeds_and_images"), both))
        rows.append((name, *_ranged(confirmed, "interval_over_seeds"), "seeds"))
        rows.append(("one more training", "", _range(confirmed["next_training"]), "prediction"))
    last = (origin.get("figures") or {}).get("last")
    images = origin.get("val_images")
    if last is not None:
        rows += list(_own(last, images, judgement))
    test = origin.get("test")
    if test is not None:
        rows.append(
            (
                f"test accuracy (trial {test['trial']}, {test['images']:,} images)",
                _number(test["accuracy"]),
                _range(test["interval"]),
                "test images",
            )
        )
    told = "## Figures\n\n" + _table(("figure", "value", "95 % interval", "over"), rows)
    if isinstance(confirmed, Mapping):
        told += "\n\n" + _compared(confirmed)
    opened = (
        "Test images: not opened."
        if test is None
        else f"Test images: opened {test['opened']} time(s); the figure is that of the first look, "
        "the only one that is a test."
    )
    return told + "\n\n" + opened


def _own(
    last: Mapping[str, Any], images: int | None, judgement: Judgement | None
) -> Iterable[tuple[str, str, str, str]]:
    of = f"this training, epoch {last['epoch']}"
    interval = ""
    if images and last.get("val_accuracy") is not None:
        interval = _range(share_interval(round(last["val_accuracy"] * images), images))
    yield f"val_accuracy, {of}", _number(last.get("val_accuracy")), interval, "validation images"
    yield f"val_loss, {of}", _number(last.get("val_loss")), "", ""
    known = judgement is not None and judgement.once
    for name, figure in (("val_macro_f1", macro_f1), ("val_balanced_accuracy", balanced_accuracy)):
        interval = ""
        if known and judgement is not None and _same(last, judgement):
            interval = _range(bootstrap_interval(judgement.confusion, figure))
        yield f"{name}, {of}", _number(last.get(name)), interval, "validation images"


def _same(last: Mapping[str, Any], judgement: Judgement) -> bool:
    """Whether the matrix is that of the figures: with `at: best` it may be another epoch's."""
    matrix = np.asarray(judgement.confusion)
    return bool(matrix.sum()) and abs(np.trace(matrix) / matrix.sum() - last["val_accuracy"]) < 1e-9


def _compared(confirmed: Mapping[str, Any]) -> str:
    lines = [
        f"- Best seen in the search: {_number(confirmed['best_seen'])}, one seed, the best of "
        f"{confirmed['complete_trials']} complete trials. Optimism: "
        f"{_number(confirmed['optimism'])}."
    ]
    for key, name in (("runner_up", "the runner-up"), ("first_tried", "the first `try_first`")):
        other = confirmed.get(key)
        if other is not None:
            verdict = "" if other["distinguishable"] else "not "
            lines.append(
                f"- Against {name} (trial {other['trial']}): ahead by {_number(other['ahead'])} "
                f"({_range(other['interval'])}), {verdict}distinguishable."
            )
    if confirmed.get("chance_of_best") is not None:
        lines.append(
            f"- P(best of the {confirmed['finalists']} finalists): "
            f"{_number(confirmed['chance_of_best'])}."
        )
    return "\n".join(lines)


def _classes(origin: Mapping[str, Any], judgement: Judgement | None) -> str:
    names = origin.get("class_names")
    if judgement is None or not names:
        return ""
    matrix = np.asarray(judgement.confusion, dtype=np.int64)
    rows = []
    for each in per_class(matrix, names):
        interval = ""
        if judgement.once and each.images and each.recall is not None:
            interval = _range(share_interval(round(each.recall * each.images), each.images))
        shares = (each.precision, each.recall, each.f1)
        precision, recall, f1 = map(_number, shares)
        rows.append((each.name, f"{each.images:,}", precision, recall, interval, f1))
    columns = ("class", "images", "precision", "recall", "95 %", "F1")
    told = f"## Classes\n\nOf {judgement.what}.\n\n" + _table(columns, rows)
    if len(names) <= _PRINTED_CLASSES:
        cells = [(name, *map(str, row)) for name, row in zip(names, matrix.tolist(), strict=True)]
        told += "\n\nImages by true class (rows) and predicted class:\n\n"
        told += _table(("", *names), cells)
    return told


def _data(document: Mapping[str, Any], origin: Mapping[str, Any]) -> str:
    source = document["data"]["source"]
    confirmed = origin.get("confirmed")
    split = (
        f"; over the seeds of the confirmation {confirmed['split']}"
        if isinstance(confirmed, Mapping)
        else ""
    )
    of_each = in_all = ""
    for what, several in _several(document["data"]):
        of_each = f" for each of {several} models, one for each {what}"
        in_all = ", each once" if what == "fold" else " in all"
    rows = [
        ("source", f"`{_flow(source)}`"),
        ("training images", _count(origin.get("train_images")) + of_each),
        ("validation images", _count(origin.get("val_images")) + in_all),
        ("data hash (SHA-256)", f"`{origin.get('data_hash')}`"),
        ("split hash (SHA-256)", f"`{origin.get('split_hash')}`"),
        ("split", f"seed {origin.get('split_seed')}{split}"),
    ]
    return "## Data\n\n" + _table(("", ""), rows)


def _several(data: Mapping[str, Any]) -> list[tuple[str, int]]:
    kinds = (("fold", data.get("folds")), ("split", data.get("splits")))
    return [(what, several) for what, several in kinds if several]


def _model(
    document: Mapping[str, Any],
    origin: Mapping[str, Any],
    contract: str | None,
    weights: str | None,
) -> str:
    rows = [
        ("model", f"`{_flow(document['model'])}`"),
        ("parameters", _count(origin.get("parameters"))),
        ("multiply-adds per image", _count(origin.get("multiply_adds"))),
        ("image (channels, height, width)", str(origin.get("input_shape"))),
        ("normalisation", f"`{_flow(document['data']['normalization'])}`"),
    ]
    if weights is not None:
        rows.append(("weights", weights))
    if contract is not None:
        rows.append(("input of exported models", contract))
    return "## Model\n\n" + _table(("", ""), rows)


def _cost(origin: Mapping[str, Any]) -> str:
    cost = origin.get("cost")
    if not isinstance(cost, Mapping):
        return ""
    rows = [
        (what, f"{spent['epochs']:,}", f"{spent['seconds'] / 3600:.3g}")
        for what, spent in cost.items()
    ]
    return "## Cost\n\n" + _table(("", "epochs", "hours of training"), rows)


def _reproduction(document: Mapping[str, Any], origin: Mapping[str, Any]) -> str:
    confirmed = origin.get("confirmed")
    seeds = (
        ", ".join(f"{seed}: {_number(value)}" for seed, value in confirmed["seeds"].items())
        if isinstance(confirmed, Mapping)
        else None
    )
    rows = [
        ("seed of the study", str(document["seed"])),
        ("seed of the training", str(origin.get("trial_seed"))),
        *([("fresh seeds and their figures", seeds)] if seeds else []),
        ("device", f"{origin.get('device')}, {origin.get('threads')} thread(s)"),
        ("precision", str(origin.get("precision"))),
        *[(name, str(version)) for name, version in (origin.get("versions") or {}).items()],
        ("repository", _flow(origin.get("repository") or "none")),
        ("exported", str(origin.get("exported_at"))),
    ]
    return (
        "## Seeds and versions\n\n"
        + _table(("", ""), rows)
        + "\n\n`hpsearch train best.yaml` trains it again, `hpsearch verify best.yaml` checks that "
        "data and figures come out again."
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Return text that others wrote (class names, descriptions) so that it stays in its place."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def _ranged(confirmed: Mapping[str, Any], key: str) -> tuple[str, str]:
    return _number(confirmed["mean"]), _range(confirmed[key])


def _range(bounds: Sequence[float] | None) -> str:
    return "" if bounds is None else f"{_number(bounds[0])} to {_number(bounds[1])}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _count(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value)
