"""Keys of ``data``: normalisation, how many images, and how they are divided."""

from __future__ import annotations

import jsonschema
import pytest
from ruamel.yaml import YAML

from hpsearch.errors import StudyFileError
from hpsearch.study_file.freezing import freeze, to_yaml
from hpsearch.study_file.json_schema import json_schema
from hpsearch.study_file.space import Choice

TEXT = """\
study: x
budget: {trials: 1, epochs_per_trial: 1}
data: {source: digits, normalization: HERE}
model: mlp
optimizer: adam
"""
GIVEN = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.247, 0.243, 0.262]}


def with_normalization(written: str) -> str:
    return TEXT.replace("HERE", written)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("measured", "measured", id="measured"),
        pytest.param("raw", "raw", id="raw"),
        pytest.param("unit", "unit", id="unit"),
        pytest.param("symmetric", "symmetric", id="symmetric"),
        pytest.param(f"{GIVEN}", GIVEN, id="given"),
        pytest.param("{mean: [0], std: [1]}", {"mean": [0.0], "std": [1.0]}, id="one for all"),
    ],
)
def test_one_way_for_all_trials(load, registries_of, written, expected):
    study = load(with_normalization(written))
    config = study.trial_config({}, ticket=1).data
    assert config.normalization == expected
    assert config.per_class is None
    assert study.is_frozen
    jsonschema.Draft202012Validator(json_schema(registries_of())).validate(
        YAML(typ="safe", pure=True).load(study.text)
    )
    again = load(to_yaml(freeze(study, {}, {})))
    assert again.trial_config({}, ticket=1).data == config


def test_left_out_it_is_measured(load):
    study = load(TEXT.replace(", normalization: HERE", ""))
    assert study.trial_config({}, ticket=1).data.normalization == "measured"
    assert study.document["data"]["normalization"] == "measured"


def test_it_may_be_searched_and_tried_first(load, registries_of):
    text = with_normalization(f"{{values: [measured, raw, {GIVEN}]}}")
    text += f"try_first: [{{data: {{normalization: {GIVEN}}}}}]\n"
    study = load(text)
    assert study.space.parameters() == {
        "data.normalization": Choice(("measured", "raw", GIVEN)),
    }
    (entry,) = study.try_first
    assert study.trial_config(entry, ticket=1).data.normalization == GIVEN
    jsonschema.Draft202012Validator(json_schema(registries_of())).validate(
        YAML(typ="safe", pure=True).load(text)
    )


def test_it_may_be_set_from_the_command_line(load):
    study = load(TEXT.replace(", normalization: HERE", ""), f"data.normalization={GIVEN}")
    assert study.trial_config({}, ticket=1).data.normalization == GIVEN
    study = load(with_normalization(f"{GIVEN}"), "data.normalization=raw", "data.per_class=50")
    config = study.trial_config({}, ticket=1).data
    assert (config.normalization, config.per_class) == ("raw", 50)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("imagenet", id="an unknown name"),
        pytest.param("0.5", id="a number"),
        pytest.param("[0.5]", id="a list"),
        pytest.param("{}", id="nothing"),
        pytest.param("{mean: [0.5]}", id="no std"),
        pytest.param("{mean: [0.5], std: []}", id="an empty std"),
        pytest.param("{mean: [0.5], std: [0]}", id="a std of 0"),
        pytest.param("{mean: [0.5], std: [1], more: [2]}", id="a third key"),
        pytest.param("{mean: 0.5, std: 0.5}", id="no lists"),
    ],
)
def test_anything_else_is_refused_by_the_rule(load, written):
    text = with_normalization(written)
    with pytest.raises(StudyFileError) as caught:
        load(text)
    assert (
        "data.normalization: must be measured, raw, unit, symmetric, or {mean: [..], std: [..]} "
        "with a number per channel (of pixels from 0 to 1; each std above 0), but got "
    ) in str(caught.value)


def test_a_range_of_it_is_refused(load):
    with pytest.raises(StudyFileError, match="a range needs a key that takes numbers"):
        load(with_normalization("{min: 0, max: 1}"))


@pytest.mark.parametrize("per_class", ["0", "-3", "some", "0.5"])
def test_per_class_is_a_number_of_images(load, per_class):
    with pytest.raises(StudyFileError, match=r"data\.per_class: must be "):
        load(TEXT.replace("normalization: HERE", f"per_class: {per_class}"))


DIVIDED = TEXT.replace("normalization: HERE", "HERE")


def divided(written: str, *, tail: str = "") -> str:
    return DIVIDED.replace("HERE", written) + tail


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("folds: 5", (5, None, 0.2), id="folds"),
        pytest.param("splits: 3", (None, 3, 0.2), id="splits"),
        pytest.param("splits: 3, validation: 205", (None, 3, 205), id="splits of a size"),
        pytest.param("folds: null, splits: null, validation: 0.3", (None, None, 0.3), id="null"),
        pytest.param("folds: 4, splits: null", (4, None, 0.2), id="one of them null"),
    ],
)
def test_folds_and_splits(load, registries_of, written, expected):
    study = load(divided(written))
    config = study.trial_config({}, ticket=1).data
    assert (config.folds, config.splits, config.validation) == expected
    assert config.rounds == (expected[0] or expected[1] or 1)
    schema = json_schema(registries_of())
    jsonschema.Draft202012Validator(schema).validate(YAML(typ="safe", pure=True).load(study.text))
    jsonschema.Draft202012Validator(schema).validate(study.document)
    again = load(to_yaml(freeze(study, {}, {})))
    assert again.trial_config({}, ticket=1).data == config


def test_a_study_without_them_reads_as_before(load):
    plain, empty = load(divided("limit: 9")), load(divided("limit: 9, folds: null"))
    assert plain.document == empty.document
    assert not {"folds", "splits"} & set(plain.document["data"])
    assert len({load(divided(key)).fingerprint for key in ("folds: 3", "folds: 4", "limit: 9")})


BOTH = "but both validation and folds are given; remove one of them"


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        pytest.param("validation: 0.2, folds: 5", BOTH, id="validation and folds"),
        pytest.param("folds: 5, splits: 3", "either on folds or on repeated splits", id="both"),
        pytest.param("folds: 1", "must be a number of folds from 2 to 100, or null", id="one"),
        pytest.param("folds: 101", "must be a number of folds from 2 to 100", id="too many"),
        pytest.param("splits: 0.5", "must be a number of splits from 2 to 100", id="a share"),
        pytest.param("folds: {values: [3, 5]}", "must be one fixed value, not searched", id="list"),
        pytest.param("splits: {min: 2, max: 5}", "one fixed value, not searched", id="range"),
    ],
)
def test_what_can_not_be_is_refused(load, registries_of, written, rule):
    with pytest.raises(StudyFileError) as caught:
        load(divided(written))
    assert rule in str(caught.value)
    document = YAML(typ="safe", pure=True).load(divided(written))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(json_schema(registries_of())).validate(document)


def test_an_override_is_the_later_word(load):
    study = load(divided("validation: 205"), "data.folds=5")
    assert "validation" not in study.document["data"]
    study = load(divided("folds: 5"), "data.validation=0.1")
    config = study.trial_config({}, ticket=1).data
    assert (config.folds, config.validation) == (None, 0.1)
    study = load(divided("folds: 5"), "data.splits=3")
    assert study.trial_config({}, ticket=1).data.rounds == 3
    study = load(divided("folds: 5"), "data.folds=null")
    assert study.trial_config({}, ticket=1).data.rounds == 1
    with pytest.raises(StudyFileError, match=BOTH):
        load(DIVIDED.replace(", HERE", ""), "data.validation=0.1", "data.folds=5")


def test_an_entry_can_not_divide_in_another_way(load):
    entry = "try_first: [{data: {HERE}}]\n"
    assert load(divided("folds: 5", tail=entry.replace("HERE", "folds: 5"))).try_first == ({},)
    with pytest.raises(StudyFileError, match=r"data\.folds: is fixed to null in this study"):
        load(divided("limit: 9", tail=entry.replace("HERE", "folds: 5")))
    with pytest.raises(StudyFileError, match="this study gives folds in its place; leave it out"):
        load(divided("folds: 5", tail=entry.replace("HERE", "validation: 0.2")))
