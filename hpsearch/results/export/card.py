"""The model card: what a model is, what its value means, and what it cost, in Markdown.

Its content comes from the frozen config, so a card can be written wherever that file is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.foreign_text import clean
from hpsearch.formatting import count_noun, first_few, format_seconds
from hpsearch.metrics import SHARE
from hpsearch.results.confirmation.judging import per_class
from hpsearch.results.export.card_metrics import Judgement, classes_of, metrics_of, number
from hpsearch.results.export.front_matter import UNKNOWN_LICENSE, data_set_of, front_matter
from hpsearch.results.markdown import Code, code, filled_table, inline, plain
from hpsearch.results.question import introduction
from hpsearch.study_file.goals import Goals

#: Most rows of the table of layers; a deep network's repeat each other.
_MOST_LAYERS = 60
#: Most classes that are listed by name, and of those with the lowest recall.
_LISTED_CLASSES, _WEAKEST = 30, 3


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """The other files in the card's folder."""

    #: The name of the folder.
    folder: str
    #: The file of the confusion matrix's picture; ``None`` without one.
    matrix: str | None


def card(
    document: Mapping[str, Any],
    worth: str,
    judgement: Judgement | None,
    *,
    contract: str | None = None,
    weights: str | None = None,
    files: ModelFiles | None = None,
) -> str:
    """Return the model card of a frozen config.

    Args:
        document: The frozen config.
        worth: Sentences about the meaning of its value.
        judgement: Its confusion matrix; ``None`` without one.
        contract: The input of exported models; ``None`` leaves it out.
        weights: Which weights the bundle contains; ``None`` leaves it out.
        files: The model beside the card; ``None`` for a card alone.
    """
    origin = document["provenance"]
    parts = [
        front_matter(document),
        _title(document, origin, worth),
        _use(origin, files),
        _limits(document, origin, judgement),
        metrics_of(origin, judgement),
        classes_of(origin, judgement, picture=None if files is None else files.matrix),
        _data(document, origin),
        _model(document, origin, contract, weights),
        _layers(origin),
        _cost(origin),
        _reproduction(document, origin),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(document: Mapping[str, Any], origin: Mapping[str, Any], worth: str) -> str:
    study = origin.get("study", document["study"])
    trial = f", trial {inline(origin['trial'])}" if origin.get("trial") is not None else ""
    about = [f"# {inline(study)}{trial}"]
    if first_paragraph := introduction(document):
        about.append(plain(first_paragraph))
    if isinstance(origin.get("confirmed"), Mapping):
        about.append(f"**Confirmed.** {inline(worth)}")
    else:
        # `confirm` chooses by one objective, so a point of a front is trained again instead
        command = (
            "`hpsearch train FILE --seeds 5`"
            if Goals.of(document).is_multi_objective
            else code(f"hpsearch confirm --study {study}")
        )
        about.append(
            f"**UNCONFIRMED.** {inline(worth)} No fresh seed has confirmed the value; {command} "
            "confirms it."
        )
    gap = (origin.get("test") or {}).get("outside_confirmed")
    if gap:
        reasons = "\n".join(f"- {inline(reason)}" for reason in gap["reasons"])
        # Before the value: a reader who stops early must have seen it
        about.insert(1, f"**{inline(gap['headline'])}** Likely reasons:\n\n{reasons}")
    about += [f"**Warning.** {inline(warning)}." for warning in origin.get("warnings", ())]
    return "\n\n".join(about)


def _use(origin: Mapping[str, Any], files: ModelFiles | None) -> str:
    if files is None:
        return ""
    folder = json.dumps(clean(files.folder))  # Python reads it as well
    version = (origin.get("versions") or {}).get("hpsearch")
    needs = "hpsearch" if version is None else f"hpsearch {inline(version)} or later"
    return (
        f"## Use\n\nNeeds {needs}. Run this beside the folder of this card:\n\n"
        "```python\n"
        "import hpsearch\n\n"
        f"model = hpsearch.load_model({folder})\n"
        'for picture in model.predict("photos"):  # a picture, a list, or a folder\n'
        "    print(picture.path, picture.label, picture.probability)\n"
        "```\n\n"
        "`model.module` is the trained `torch.nn.Module`. In a shell: "
        f"{code(f'hpsearch predict {files.folder} PICTURE')}."
    )


def _limits(
    document: Mapping[str, Any], origin: Mapping[str, Any], judgement: Judgement | None
) -> str:
    names: Sequence[str] = origin.get("class_names") or ()
    kind, images = data_set_of(document)
    source = code(kind) if kind == images else f"{code(images)} ({code(kind)})"
    intended = f"To sort pictures like those of {source} into "
    if names:
        intended += f"{len(names):,} classes: {inline(first_few(names, _LISTED_CLASSES))}."
    else:
        intended += "the classes of this source."
    shape = origin.get("input_shape")
    lines = [
        "Pictures of another origin (another camera, preparation or selection) weren't measured; "
        "expect a lower accuracy.",
        "It always answers with one of its classes, also for a picture of something else. Its "
        "probabilities weren't calibrated.",
    ]
    if shape:
        channels, height, width = shape
        colour = " and turned to gray" if channels == 1 else ""
        lines.append(
            f"Every picture is resized to {width} x {height} pixels{colour}: smaller details are "
            "lost."
        )
    lines += _weakest(names, judgement)
    lines.append(
        "Not checked: whether the training pictures may be used for a purpose, whether they "
        "represent all groups of people or things equally, and pictures made to deceive a model."
    )
    if (origin.get("license") or UNKNOWN_LICENSE) == UNKNOWN_LICENSE:
        lines.append(
            "No license was named (`hpsearch export --license`): ask the author before you use it."
        )
    bullets = "\n".join(f"- {line}" for line in lines)
    return f"## Intended use and limits\n\n{intended}\n\n{bullets}"


def _weakest(names: Sequence[str], judgement: Judgement | None) -> list[str]:
    if judgement is None or not names:
        return []
    matrix = np.asarray(judgement.confusion, dtype=np.int64)
    recalls = [
        (metrics.recall, metrics.name, metrics.images)
        for metrics in per_class(matrix, names)
        if metrics.images and metrics.recall is not None and metrics.recall < 1
    ]
    if not recalls:
        return []
    weakest = ", ".join(
        f"{inline(name)} {SHARE.value(recall)} (of {count_noun(images, 'image')})"
        for recall, name, images in sorted(recalls)[:_WEAKEST]
    )
    return [f"It recognizes these classes least often: {weakest}."]


def _data(document: Mapping[str, Any], origin: Mapping[str, Any]) -> str:
    source = document["data"]["source"]
    confirmed = origin.get("confirmed")
    split = (
        f"; over the seeds of the confirmation {confirmed['split']}"
        if isinstance(confirmed, Mapping)
        else ""
    )
    of_each = in_all = ""
    for kind, count in _partitions(document["data"]):
        of_each = f" for each of {count} models, one for each {kind}"
        in_all = ", each once" if kind == "fold" else " in all"
    train, val = origin.get("train_images"), origin.get("val_images")
    seed = origin.get("split_seed")
    rows = [
        ("source", Code(_flow(source))),
        ("training images", None if train is None else f"{train:,}{of_each}"),
        ("validation images", None if val is None else f"{val:,}{_in_groups(origin)}{in_all}"),
        ("data hash (SHA-256)", _code(origin.get("data_hash"))),
        ("split hash (SHA-256)", _code(origin.get("split_hash"))),
        ("split", None if seed is None else f"seed {seed}{split}"),
    ]
    return "## Data\n\n" + _properties(rows)


def _in_groups(origin: Mapping[str, Any]) -> str:
    groups = origin.get("val_groups")
    return "" if groups is None else f" in {count_noun(groups, 'group')}"


def _partitions(data: Mapping[str, Any]) -> list[tuple[str, int]]:
    kinds = (("fold", data.get("folds")), ("split", data.get("splits")))
    return [(kind, count) for kind, count in kinds if count]


def _model(
    document: Mapping[str, Any],
    origin: Mapping[str, Any],
    contract: str | None,
    weights: str | None,
) -> str:
    shape = origin.get("input_shape")
    rows = [
        ("model", Code(_flow(document["model"]))),
        ("parameters", _count(origin.get("parameters"))),
        ("multiply-adds per image", _count(origin.get("multiply_adds"))),
        ("image (channels x height x width)", _shape(shape) if shape else None),
        ("normalisation", Code(_flow(document["data"]["normalization"]))),
        ("optimizer", Code(_flow(document["optimizer"])) if document.get("optimizer") else None),
        ("weights", weights),
        ("input of exported models", contract),
    ]
    return "## Model\n\n" + _properties(rows)


def _layers(origin: Mapping[str, Any]) -> str:
    layers = origin.get("architecture")
    if not layers:
        return ""
    rows = [
        (
            Code(str(layer["layer"])),
            str(layer["kind"]),
            _shape(layer["output_shape"]),
            f"{layer['parameters']:,}",
        )
        for layer in layers[:_MOST_LAYERS]
    ]
    more = len(layers) - len(rows)
    rest = f"\n\nAnd {count_noun(more, 'more layer')}." if more else ""
    columns = ("layer", "kind", "output shape", "parameters")
    return "## Layers\n\n" + filled_table(columns, rows) + rest


def _cost(origin: Mapping[str, Any]) -> str:
    cost = origin.get("cost")
    if not isinstance(cost, Mapping):
        return ""
    rows = [
        (kind, f"{amounts['epochs']:,}", format_seconds(amounts["seconds"]))
        for kind, amounts in cost.items()
    ]
    return "## Cost\n\n" + filled_table(("of", "epochs", "time of training"), rows)


def _reproduction(document: Mapping[str, Any], origin: Mapping[str, Any]) -> str:
    confirmed = origin.get("confirmed")
    seeds = (
        ", ".join(
            f"{seed}: {number(value, confirmed['metric'])}"
            for seed, value in confirmed["seeds"].items()
        )
        if isinstance(confirmed, Mapping)
        else None
    )
    device, threads = origin.get("device"), origin.get("threads")
    running = None if threads is None else count_noun(threads, "thread")
    repository = origin.get("repository")
    rows = [
        ("seed of the study", _text(document["seed"])),
        ("seed of the training", _text(origin.get("trial_seed"))),
        ("fresh seeds and their values", seeds),
        ("device", ", ".join(str(part) for part in (device, running) if part is not None)),
        ("precision", _text(origin.get("precision"))),
        *[(name, _text(version)) for name, version in (origin.get("versions") or {}).items()],
        ("repository", _flow(repository) if repository else None),
        ("exported", _text(origin.get("exported_at"))),
    ]
    return (
        "## Seeds and versions\n\n"
        + _properties(rows)
        + "\n\n`hpsearch train best.yaml` trains it again, `hpsearch verify best.yaml` checks that "
        "the data and the metrics are the same."
    )


def _properties(rows: Iterable[tuple[str, str | None]]) -> str:
    """Return a table of properties without those that aren't known."""
    return filled_table(("property", "value"), [(name, value) for name, value in rows if value])


def _count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _code(value: Any) -> Code | None:
    return None if value is None else Code(str(value))


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(f"{size:,}" for size in shape) or "-"


def _flow(value: Any) -> str:
    """Return a value of a study file as YAML in one line: ``null`` and ``true``, as it is there."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Mapping():
            return "{" + ", ".join(f"{key}: {_flow(child)}" for key, child in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value)
