"""The settings of a confirmation: what is stored is read, and written again as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hpsearch.results.confirmation.spec import ConfirmationSpec, Field

#: As it is stored, every key in its place.
STORED: dict[str, Any] = {
    "study": "small",
    "fingerprint": "0123abcd",
    "seeds": 3,
    "seeds_before": 6,
    "asked": {"top": 2, "seeds": 5, "share": 0.5, "given": ["top"]},
    "rule": "the best 2 of 9 complete trials",
    "finalists": [
        {"trial": 4, "params": {"model": "mlp", "model.mlp.hidden": "[16]"}},
        {"trial": 1, "params": {"model": "mlp", "model.mlp.hidden": "[8,8]"}},
    ],
    "baseline": {"trial": 0, "params": {"model": "mlp", "model.mlp.hidden": "[4]"}},
    "search": {
        "trials": 12,
        "complete": 9,
        "epochs": 80,
        "best": 0.96,
        "field": {"middle": 0.9, "variance": 0.01, "better": 4},
    },
}
#: As the first versions stored it.
OLDER = {
    **STORED,
    "asked": {"top": 2, "seeds": 5, "share": None},
    "baseline": None,
    "search": {"trials": 12, "complete": 9, "epochs": 80, "best": 0.96},
}


@pytest.mark.parametrize("section", [STORED, OLDER])
def test_a_section_is_written_as_it_was_read(section: dict[str, Any]) -> None:
    spec = ConfirmationSpec.from_document(section, metric="val_accuracy", maximize=True)
    written = spec.to_document()
    assert json.dumps(written) == json.dumps(section), "byte for byte, the order of keys included"


def test_what_is_read() -> None:
    spec = ConfirmationSpec.from_document(STORED, metric="val_loss", maximize=False)
    assert (spec.trials, spec.baseline_trial, spec.maximize) == ((4, 1), 0, False)
    assert (list(spec.selection_seeds), list(spec.report_seeds)) == ([1, 2, 3], [4, 5, 6])
    assert spec.last_seed == 12
    assert list(spec.params) == [4, 1, 0] and spec.params[1]["model.mlp.hidden"] == "[8,8]"
    assert spec.requested.options == ("top",)
    assert spec.search.field == Field(middle=0.9, variance=0.01, better=4)
    older = ConfirmationSpec.from_document(OLDER, metric="val_accuracy", maximize=True)
    assert (older.requested.options, older.baseline_trial, older.search.field) == (None, None, None)
