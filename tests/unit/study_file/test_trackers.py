"""``trackers``: named in three ways, no part of the study's question."""

from __future__ import annotations

import pytest

from hpsearch.errors import StudyFileError
from hpsearch.registry import Component
from hpsearch.study_file.freezing import freeze
from hpsearch.study_file.json_schema import json_schema
from hpsearch.study_file.loading import study_from_document

BOARD, CLOUD = Component("board"), Component("cloud", {"project": "x"})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ()),
        ("trackers:", ()),
        ("trackers: []", ()),
        ("trackers: board", (BOARD,)),
        ("trackers: [board, {cloud: {project: x}}]", (BOARD, CLOUD)),
        ("trackers: {board: true, cloud: {project: x}}", (BOARD, CLOUD)),
        ("trackers: {board: , cloud: false}", (BOARD,)),
        ("trackers: cloud", (Component("cloud", {"project": "p"}),)),
    ],
)
def test_named_in_three_ways(load, base, registries_of, line, expected) -> None:
    study = load(base + line)
    assert study.trackers == expected
    assert study_from_document(study.document, registries_of).trackers == expected


def test_a_change_is_no_other_study_and_a_frozen_one_has_none(load, base) -> None:
    plain, tracked = load(base), load(base + "trackers: board")
    assert plain.fingerprint == tracked.fingerprint
    assert "trackers" not in plain.document
    params = {
        path: parameter.labels[0] if hasattr(parameter, "labels") else parameter.low
        for path, parameter in tracked.space.parameters().items()
    }
    assert "trackers" not in freeze(tracked, params, {})


def test_overrides_reach_inside(load, base) -> None:
    study = load(base + "trackers: board", "trackers.cloud.project=y", "trackers.board=false")
    assert study.trackers == (Component("cloud", {"project": "y"}),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("trackers: bord", "trackers: unknown tracker 'bord'. Did you mean 'board'?"),
        ("trackers: [board, board]", "trackers: must be a list of names, each once, or a mapping"),
        ("trackers: 3", "trackers: must be a list of names, each once, or a mapping"),
        ("trackers: [[board]]", "trackers: must be a list of names, each once, or a mapping"),
        ("trackers: {cloud: {projekt: x}}", "trackers.cloud.projekt: unknown key 'projekt'"),
        ("trackers: {cloud: {project: {values: [a, b]}}}", "trackers.cloud.project: "),
    ],
)
def test_what_is_wrong_is_said(load, base, line, message) -> None:
    with pytest.raises(StudyFileError) as raised:
        load(base + line)
    assert message in str(raised.value)


def test_editors_know_the_three_ways(registries_of) -> None:
    from jsonschema import Draft202012Validator

    schema = json_schema(registries_of())
    part = {"$defs": schema["$defs"], **schema["else"]["else"]["properties"]["trackers"]}
    validator = Draft202012Validator(part)
    for right in ("board", ["board", {"cloud": {"project": "x"}}], {"board": True}, None, []):
        assert validator.is_valid(right), right
    for wrong in ("bord", 3, ["board", 3], {"cloud": {"projekt": "x"}}):
        assert not validator.is_valid(wrong), wrong
