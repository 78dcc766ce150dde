"""Format of numbers and names in a report: units, short names, no accidental markup.

Shares are in percent and their differences in points; losses are unchanged.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from typing import Any

from hpsearch.formatting import in_percent
from hpsearch.metrics import MetricFormat
from hpsearch.study_file.space import short_name

#: Metric of an epoch or a model -> its name in text.
_NAMES = {
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
    "val_macro_f1": "validation macro F1",
    "val_balanced_accuracy": "balanced validation accuracy",
    "val_auroc": "validation AUROC",
    "val_top5_accuracy": "validation top-5 accuracy",
    "val_calibration_error": "calibration error",
    "train_accuracy": "training accuracy",
    "train_loss": "training loss",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds per image",
    "receptive_field": "receptive field",
    "epoch_seconds": "time of an epoch",
    "compute_seconds": "compute time",
    "latency": "time for one image",
}

#: Largest length of text from outside in a short field.
SHORT = 32


def name_of(metric: str) -> str:
    """Return a metric's name in text: ``validation accuracy``."""
    return _NAMES.get(metric, metric)


def sentence(text: str) -> str:
    """Return ``text`` with a capital first letter, the rest unchanged."""
    return text[:1].upper() + text[1:]


class Unit(MetricFormat):
    """Format of a metric's values in a report, and on the axes of its charts."""

    @property
    def name(self) -> str:
        """The metric's name in text."""
        return name_of(self.metric)

    @property
    def axis(self) -> str:
        """The title of an axis of values: ``Validation accuracy (%)``."""
        return sentence(self.name) + (f" ({self.unit})" if self.unit else "")

    def scaled(self, value: float | None) -> float | None:
        """Return ``value`` for charts: shares in percent, 5 digits; ``None`` if it isn't finite."""
        if value is None or not math.isfinite(value):
            return None
        return _rounded(in_percent(value, 5) if self.is_share else value)


#: Format of training times.
COMPUTE = Unit("compute_seconds")


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def rounded(value: float | None) -> float | None:
    """Return ``value`` with 5 significant digits; ``None`` if it isn't finite."""
    return None if value is None or not math.isfinite(value) else _rounded(value)


def setting(value: Any) -> str:
    """Return a parameter's value in readable form: 4 digits, ``-`` if it doesn't apply."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Return path -> its shortest ending that no other path shares: ``sgd.lr``."""
    among = dict.fromkeys(paths)
    return {path: short_name(path, among) for path in among}


def cut(text: str, most: int = SHORT) -> str:
    """Return ``text`` on one line, cut with an ellipsis if it is longer than ``most``."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def cut_middle(text: str, most: int = 22) -> str:
    """Return ``text``, cut in its middle if it is too long: stages differ at their names' ends."""
    half = most // 2
    return text if len(text) <= most else f"{text[: most - half]}…{text[len(text) - half + 1 :]}"


def in_chart(text: str, most: int = SHORT) -> str:
    """Return text from outside for a chart, whose labels interpret some HTML tags."""
    return html.escape(cut(text, most), quote=False)


def params_line(params: Mapping[str, Any], names: Mapping[str, str] | None = None) -> str:
    """Return parameters on one line: ``lr 0.02, batch_size 16``."""
    shorter = names or short_names(params)
    return ", ".join(
        f"{shorter.get(path, path)} {setting(value)}" for path, value in params.items()
    )
