"""The front matter of a model card: what the Hugging Face Hub lists and filters models by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hpsearch.errors import UserError
from hpsearch.foreign_text import clean
from hpsearch.formatting import count_noun
from hpsearch.metrics import MetricFormat
from hpsearch.study_file.freezing import to_yaml

#: The Hub's identifiers of licenses. Any other license is ``other``, with its name.
_LICENSES = frozenset(
    """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause
    bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0
    cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
    cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1
    agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0
    odc-by odbl openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr
    """.split()  # noqa: SIM905 - sixty lines as a list
)
#: What the Hub calls a license that nobody has named.
UNKNOWN_LICENSE = "unknown"

#: The Hub's identifiers of metrics.
_HUB_METRICS = {
    "val_accuracy": "accuracy",
    "val_loss": "loss",
    "val_macro_f1": "f1",
    "val_balanced_accuracy": "balanced_accuracy",
}
_TASK = {"type": "image-classification", "name": "Image Classification"}


def read_license(name: str) -> str:
    """Return a license as a frozen config records it: the Hub's identifier, or a name.

    Raises:
        UserError: The name has no letter or digit.
    """
    identifier = re.sub(r"[^a-z0-9.+]+", "-", name.lower()).strip("-")
    if not re.search("[a-z0-9]", identifier):
        raise UserError(
            f"a license must be an identifier such as mit, apache-2.0 or cc-by-4.0, or a name, but "
            f"got {name!r}"
        )
    return identifier


def front_matter(document: Mapping[str, Any]) -> str:
    """Return the YAML between two lines of dashes, for the top of a frozen config's card.

    ``model-index`` contains only what is no choice among many: the confirmed metric, and the first
    evaluation on the test images. Without either, it is left out, since a list of models would show
    an optimistic value beside confirmed ones.
    """
    origin = document["provenance"]
    model = next(iter(document["model"]))
    results = [
        result
        for result in (_confirmed_result(document, origin), _test_result(document, origin))
        if result
    ]
    metric_types = list(
        dict.fromkeys(metric["type"] for result in results for metric in result["metrics"])
    )
    content: dict[str, Any] = {
        **_license(origin.get("license") or UNKNOWN_LICENSE),
        "library_name": "hpsearch",
        "pipeline_tag": _TASK["type"],
        "tags": [_TASK["type"], "hpsearch", _name(model)],
    }
    if results:
        name = _name(origin.get("study", document["study"]))
        content["metrics"] = metric_types
        content["model-index"] = [{"name": name, "results": results}]
    return f"---\n{to_yaml(content)}---"


def _license(name: str) -> dict[str, str]:
    if name == UNKNOWN_LICENSE or name in _LICENSES:
        return {"license": name}
    return {"license": "other", "license_name": name}


def _confirmed_result(
    document: Mapping[str, Any], origin: Mapping[str, Any]
) -> dict[str, Any] | None:
    confirmed = origin.get("confirmed")
    if not isinstance(confirmed, Mapping) or confirmed.get("mean") is None:
        return None
    metric = confirmed["metric"]
    form, seeds = MetricFormat(metric), count_noun(len(confirmed["seeds"]), "fresh seed")
    both = confirmed["interval_over_seeds_and_images"]
    interval = both or confirmed["interval_over_seeds"]
    spread = "" if interval is None else f" (95 %: {form.interval(interval)})"
    measured = {
        "type": _HUB_METRICS.get(metric, _name(metric)),
        "value": _round(confirmed["mean"]),
        "name": f"{_name(metric)}, mean of {seeds}{spread}",
    }
    return _result(document, origin, "validation", measured)


def _test_result(document: Mapping[str, Any], origin: Mapping[str, Any]) -> dict[str, Any] | None:
    test = origin.get("test")
    # The weights of one trial aren't those of another one that was evaluated
    if not test or test.get("trial") != origin.get("trial"):
        return None
    interval = MetricFormat("test_accuracy").interval(test["interval"])
    measured = {
        "type": "accuracy",
        "value": _round(test["accuracy"]),
        "name": f"test accuracy, first evaluation (95 %: {interval})",
    }
    return _result(document, origin, "test", measured)


def _result(
    document: Mapping[str, Any], origin: Mapping[str, Any], split: str, measured: dict[str, Any]
) -> dict[str, Any]:
    kind, name = map(_name, data_set_of(document))
    data_set = {"name": name, "type": kind, "split": split}
    if origin.get("data_hash"):
        data_set["revision"] = _name(origin["data_hash"])
    return {"task": dict(_TASK), "dataset": data_set, "metrics": [measured]}


def data_set_of(document: Mapping[str, Any]) -> tuple[str, str]:
    """Return the kind of a frozen config's data source, and the name of its images.

    The name of a folder's images is that of the folder, without the path to it.
    """
    source = document["data"]["source"]
    if not isinstance(source, Mapping):
        return str(source), str(source)
    kind, settings = next(iter(source.items()))
    path = settings.get("path") if isinstance(settings, Mapping) else None
    name = re.split(r"[/\\]", str(path).rstrip("/\\"))[-1] if path else ""
    return clean(str(kind)), clean(name) or clean(str(kind))


def _name(text: object) -> str:
    """Return a name from elsewhere without the characters of Markdown, HTML and links.

    Not every reader of Markdown knows front matter: some show it as text of the page.
    """
    return re.sub(r"[^\w .,+%]+", "-", clean(str(text))).strip()


def _round(value: float) -> float:
    """Return a value with six significant digits: more are noise, and hard to read."""
    return float(f"{value:.6g}")
