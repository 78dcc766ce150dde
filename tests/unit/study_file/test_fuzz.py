"""Study files as nobody means them: a study, or messages with place, rule and value; nothing else.

Bounded, and the same each time: every case follows from its number.
"""

from __future__ import annotations

import json
import random
import re

import pytest

from hpsearch.errors import StudyFileError
from hpsearch.study_file.diagnostics import quote

STUDY = {
    "study": "fuzzed",
    "description": "what nobody meant",
    "seed": 3,
    "objective": {"metric": "val_loss", "at": "best"},
    "constraints": ["parameters <= 1e6"],
    "budget": {"trials": 4, "epochs_per_trial": 2, "time": "8h", "trial_timeout": "30m"},
    "confirm": {"top": 3, "seeds": 4, "share": 0.5},
    "sampler": "tpe",
    "pruner": {"median": {"startup_trials": 3}},
    "data": {
        "source": "digits",
        "validation": 0.25,
        "input_size": {"values": [8, 16]},
        "normalization": {"mean": [0.5], "std": [0.1]},
        "augmentation": {"flip": True},
    },
    "model": {
        "mlp": {"hidden": {"values": [[64], [128, 64]]}, "dropout": {"min": 0.0, "max": 0.5}},
        "conv_net": {"conv1": {"channels": {"min": 8, "max": 64, "step": 8}}},
    },
    "optimizer": {"sgd": {"lr": {"min": 1e-3, "max": 0.5, "log": True}, "momentum": 0.9}},
    "batch_size": {"values": [32, 64]},
    "early_stopping": {"patience": 3},
    "try_first": [{"model": {"mlp": {"hidden": [64]}}, "batch_size": 32}],
}

#: What may stand where something else was meant.
ODD = (
    None, True, False, 0, -1, 1, 2**63, -(2**70), 1e308, 0.1, -0.5, "", " ", "mlp", "1", "true",
    "null", "../x", "\u202e", "é" * 30, "x" * 10_000, [], {}, [[]], [None], [1, "a", {}], {"": 1},
    {"min": 1}, {"min": 2, "max": 1}, {"min": "a", "max": None}, {"values": []}, {"values": 3},
    {"values": [1, 1]}, {"values": [{}, []]}, {"min": 1, "max": 2, "values": [1]}, {"mlp": 3},
    {"min": 0, "max": 1, "log": True}, {"min": 0, "max": 1, "step": 0}, {"a": {"b": {"c": [1]}}},
    [1] * 2_000, {"step": {"step": {"step": 1}}},
)  # fmt: skip

#: A message states its rule with one of these.
RULE = re.compile(
    r"must|needs?\b|unknown|missing|may |can't|is fixed|names one|empty range|at most|differ|"
    r"no value satisfies|found means|there is nothing|not valid YAML|not used|either"
)


def paths(node, path=()):
    yield path
    if isinstance(node, dict):
        for key, child in node.items():
            yield from paths(child, (*path, key))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from paths(child, (*path, index))


def mutated(rng: random.Random):
    """Return the study with one to three odd places, and what was put there."""
    document = json.loads(json.dumps(STUDY))
    put = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        path = rng.choice([path for path in paths(document) if path])
        node = document
        for key in path[:-1]:
            node = node[key]
        what = rng.randrange(3)
        value = rng.choice(ODD)
        if what == 0 and isinstance(node, dict):
            node[rng.choice(("modle", "lr", "x" * 500, "", "values", "1", "learning_rate"))] = value
        elif what == 1:
            del node[path[-1]]
        else:
            node[path[-1]] = value
            put.append(value)
    return document, put


def outcome(load, text: str) -> StudyFileError | None:
    """Load ``text``; anything but a study or a ``StudyFileError`` is a fault."""
    try:
        load(text)
    except StudyFileError as error:
        return error
    return None


def require_readable(error: StudyFileError) -> None:
    assert error.problems
    assert len(str(error)) < 150_000
    for problem in error.problems:
        assert re.match(r"x\.yaml(:\d+)?$", problem.where), problem.where
        assert RULE.search(problem.message), problem.message
        assert len(problem.message) <= 2_000
        assert not re.search(r"Traceback|<class|object at 0x|pydantic|NoneType", problem.message)


@pytest.mark.parametrize("block", range(10))
def test_a_study_with_something_odd_in_it(load, block):
    refused = 0
    for number in range(60):
        rng = random.Random(f"{block}/{number}")
        document, put = mutated(rng)
        error = outcome(load, json.dumps(document))
        if error is None:
            continue
        refused += 1
        require_readable(error)
        if len(put) == 1 and document:
            message = str(error)
            value = quote(put[0])[:20]
            # The value, or the part of it that is wrong, or what is missing
            assert value in message or re.search(
                r"got|missing|unknown|differ|appear|fixed", message
            ), message
    assert refused > 20, "the fuzz must break something"


@pytest.mark.parametrize("block", range(10))
def test_a_text_that_was_damaged(load, base, block):
    """Characters left out, doubled, swapped, replaced; lines indented, repeated, cut."""
    signs = "{}[]:,#&*!|>'\"%@`-? \t\n\r\x00\x07\x85\u2028\ufeffé=\\0x.eE+~<"
    for number in range(60):
        rng = random.Random(f"text/{block}/{number}")
        text = list(base)
        for _ in range(rng.choice((1, 2, 5, 20))):
            text = text or ["a"]
            at = rng.randrange(len(text))
            match rng.randrange(5):
                case 0:
                    del text[at]
                case 1:
                    text.insert(at, rng.choice(signs))
                case 2:
                    text[at] = rng.choice(signs)
                case 3:
                    text[at:at] = text[max(0, at - rng.randrange(40)) : at]
                case _:
                    del text[at:]

        error = outcome(load, "".join(text))
        if error is not None:
            require_readable(error)
