"""The model card: what a model is, what its value means, and what it cost, in Markdown.

Its content comes from the frozen config, so a card can be written wherever that file is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.formatting import count_noun
from hpsearch.results.export.card_metrics import Judgement, classes_of, metrics_of, number
from hpsearch.results.markdown import Code, code, inline, plain, table
from hpsearch.study_file.goals import Goals


def card(
    document: Mapping[str, Any],
    worth: str,
    judgement: Judgement | None,
    *,
    contract: str | None = None,
    weights: str | None = None,
) -> str:
    """Return the model card of a frozen config.

    Args:
        document: The frozen config.
        worth: Sentences about the meaning of its value.
        judgement: Its confusion matrix; ``None`` without one.
        contract: The input of exported models; ``None`` leaves it out.
        weights: Which weights the bundle contains; ``None`` leaves it out.
    """
    origin = document["provenance"]
    parts = [
        _title(document, origin, worth),
        metrics_of(origin, judgement),
        classes_of(origin, judgement),
        _data(document, origin),
        _model(document, origin, contract, weights),
        _cost(origin),
        _reproduction(document, origin),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(document: Mapping[str, Any], origin: Mapping[str, Any], worth: str) -> str:
    study = origin.get("study", document["study"])
    about = [f"# {inline(study)}, trial {inline(origin.get('trial', '?'))}"]
    if document.get("description"):
        about.append(plain(document["description"]))
    if isinstance(origin.get("confirmed"), Mapping):
        about.append(f"**Confirmed.** {inline(worth)}")
    else:
        # `confirm` chooses by one objective, so a point of a front is trained again instead
        how = (
            "`hpsearch train FILE --seeds 5`"
            if Goals.of(document).is_multi_objective
            else code(f"hpsearch confirm --study {study}")
        )
        about.append(
            f"**UNCONFIRMED.** {inline(worth)} No fresh seed has confirmed the value; {how} "
            "confirms it."
        )
    gap = (origin.get("test") or {}).get("outside_confirmed")
    if gap:
        reasons = "\n".join(f"- {inline(each)}" for each in gap["reasons"])
        # Before the value: a reader who stops early must have seen it
        about.insert(1, f"**{inline(gap['headline'])}** Likely reasons:\n\n{reasons}")
    about += [f"**Warning.** {inline(each)}." for each in origin.get("warnings", ())]
    return "\n\n".join(about)


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
        ("source", Code(_flow(source))),
        ("training images", _count(origin.get("train_images")) + of_each),
        ("validation images", _count(origin.get("val_images")) + _grouped(origin) + in_all),
        ("data hash (SHA-256)", Code(str(origin.get("data_hash")))),
        ("split hash (SHA-256)", Code(str(origin.get("split_hash")))),
        ("split", f"seed {origin.get('split_seed')}{split}"),
    ]
    return "## Data\n\n" + table(("", ""), rows)


def _grouped(origin: Mapping[str, Any]) -> str:
    groups = origin.get("val_groups")
    return "" if groups is None else f" in {count_noun(groups, 'group')}"


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
        ("model", Code(_flow(document["model"]))),
        ("parameters", _count(origin.get("parameters"))),
        ("multiply-adds per image", _count(origin.get("multiply_adds"))),
        ("image (channels, height, width)", str(origin.get("input_shape"))),
        ("normalisation", Code(_flow(document["data"]["normalization"]))),
    ]
    if weights is not None:
        rows.append(("weights", weights))
    if contract is not None:
        rows.append(("input of exported models", contract))
    return "## Model\n\n" + table(("", ""), rows)


def _cost(origin: Mapping[str, Any]) -> str:
    cost = origin.get("cost")
    if not isinstance(cost, Mapping):
        return ""
    rows = [
        (what, f"{spent['epochs']:,}", f"{spent['seconds'] / 3600:.3g}")
        for what, spent in cost.items()
    ]
    return "## Cost\n\n" + table(("", "epochs", "hours of training"), rows)


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
    rows = [
        ("seed of the study", str(document["seed"])),
        ("seed of the training", str(origin.get("trial_seed"))),
        *([("fresh seeds and their values", seeds)] if seeds else []),
        ("device", f"{origin.get('device')}, {origin.get('threads')} thread(s)"),
        ("precision", str(origin.get("precision"))),
        *[(name, str(version)) for name, version in (origin.get("versions") or {}).items()],
        ("repository", _flow(origin.get("repository") or "none")),
        ("exported", str(origin.get("exported_at"))),
    ]
    return (
        "## Seeds and versions\n\n"
        + table(("", ""), rows)
        + "\n\n`hpsearch train best.yaml` trains it again, `hpsearch verify best.yaml` checks that "
        "the data and the metrics are the same."
    )


def _count(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value)
