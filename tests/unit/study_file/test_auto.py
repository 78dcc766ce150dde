"""``sampler: auto`` and ``pruner: auto``: hpsearch chooses, as if the key were missing."""

from __future__ import annotations

import jsonschema
import pytest
from support.searching import SILENT

from hpsearch import component_registries
from hpsearch.errors import StudyFileError
from hpsearch.study_file.compare import as_stored, fingerprint
from hpsearch.study_file.json_schema import json_schema


@pytest.mark.parametrize("key", ["sampler", "pruner"])
def test_auto_is_what_a_file_gets_that_says_nothing(load, key):
    silent, auto = load(SILENT), load(f"{SILENT}{key}: auto\n")
    assert auto.document == silent.document  # the choice is stored by its name
    assert auto.auto_sections == silent.auto_sections >= {key}
    assert load(SILENT, f"{key}=auto").document == silent.document
    component = getattr(silent, key).name
    # A sampler that is named gets no prior unless the file says so
    explicit = load(f"{SILENT}{key}: {component}\nsearch: {{prior: {silent.prior}}}\n")
    assert explicit.document == silent.document
    assert key not in explicit.auto_sections


@pytest.mark.parametrize("key", ["sampler", "pruner"])
def test_a_stored_study_keeps_what_was_chosen_then(load, key):
    other = {"sampler": "random", "pruner": "median"}[key]
    stored = load(f"{SILENT}{key}: {other}\n").document
    for text in (SILENT, f"{SILENT}{key}: auto\n"):
        now = load(text)
        assert fingerprint(now.document) != fingerprint(stored)
        assert fingerprint(as_stored(stored, now.document, now.auto_sections)) == fingerprint(
            stored
        )


def test_auto_has_no_settings_and_only_these_keys_know_it(load):
    with pytest.raises(StudyFileError, match="auto"):
        load(SILENT.replace("model: mlp", "model: auto"))
    with pytest.raises(StudyFileError, match="auto"):
        load(f"{SILENT}sampler: {{auto: {{startup_trials: 3}}}}\n")


def test_editors_accept_auto():
    validator = jsonschema.Draft202012Validator(json_schema(component_registries.registries()))
    study = {
        "study": "s",
        "budget": {"trials": 4, "epochs_per_trial": 2},
        "data": {"source": "digits"},
        "model": "mlp",
        "optimizer": {"sgd": {"lr": 0.1}},
    }
    validator.validate({**study, "sampler": "auto", "pruner": "auto"})
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**study, "model": "auto"})
