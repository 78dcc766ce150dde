"""The model card: its front matter, its code, and what isn't known."""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from hpsearch.errors import UserError
from hpsearch.results.export.card import ModelFiles, card
from hpsearch.results.export.card_metrics import Judgement
from hpsearch.results.export.front_matter import read_license
from hpsearch.results.export.matrix_picture import matrix_picture

CONFIRMED = {
    "study": "s-confirm",
    "metric": "val_accuracy",
    "mean": 0.98614,
    "interval_over_seeds": [0.98, 0.99],
    "interval_over_seeds_and_images": [0.9706, 0.9935],
    "next_training": [0.95, 0.999],
    "seeds": {"3": 0.98, "4": 0.99},
    "split": "newly drawn for each seed",
    "best_seen": 0.99,
    "complete_trials": 6,
    "optimism": 0.004,
    "runner_up": None,
    "first_tried": None,
    "chance_of_best": None,
    "finalists": 2,
}
TEST = {
    "trial": 4,
    "images": 100,
    "accuracy": 0.97,
    "interval": [0.92, 0.99],
    "opened": 1,
    "loss": 0.1,
}


def document(**origin: Any) -> dict[str, Any]:
    """Return a frozen config in which only what every one has is known."""
    return {
        "study": "leaves",
        "seed": 1,
        "objective": {"metric": "val_accuracy", "at": "last"},
        "data": {
            "source": {"image_folder": {"path": "../photos/Leaves 2", "colour": None}},
            "normalization": "measured",
        },
        "model": {"mlp": {"hidden": [8], "batch_norm": False}},
        "optimizer": {"adam": {"lr": 0.01}},
        "provenance": {"study": "leaves", "trial": 4, "confirmed": False, **origin},
    }


def front(text: str) -> dict[str, Any]:
    """Return the front matter as the Hub reads it: YAML between the first two lines of dashes."""
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert match is not None
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(match[1])
    return found


def tables(text: str) -> list[list[list[str]]]:
    """Return every table as rows of cells, the head first."""
    found: list[list[list[str]]] = []
    before = ""
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if not before.startswith("|"):
                found.append([])
            if set(line) - set("| -"):
                found[-1].append(cells)
        before = line
    return found


def judgement(**changes: Any) -> Judgement:
    given: dict[str, Any] = {"confusion": [[7, 1], [0, 8]], "what": "16 images", "once": False}
    return Judgement(**{**given, **changes})


def test_the_front_matter_has_the_confirmed_metric_and_the_data_set():
    text = card(document(confirmed=CONFIRMED, data_hash="d" * 64, license="mit"), "w", None)
    found = front(text)
    assert found["license"] == "mit"
    assert (found["library_name"], found["pipeline_tag"]) == ("hpsearch", "image-classification")
    assert found["tags"] == ["image-classification", "hpsearch", "mlp"]
    assert found["metrics"] == ["accuracy"]
    (model,) = found["model-index"]
    assert model["name"] == "leaves"
    (result,) = model["results"]
    assert result["task"]["type"] == "image-classification"
    assert result["dataset"] == {
        "name": "Leaves 2",
        "type": "image_folder",
        "split": "validation",
        "revision": "d" * 64,
    }
    assert result["metrics"] == [
        {
            "type": "accuracy",
            "value": 0.98614,
            "name": "val_accuracy, mean of 2 fresh seeds (95 %: 97.06 to 99.35 %)",
        }
    ]


def test_a_value_that_is_not_confirmed_is_in_no_list_of_models():
    found = front(card(document(), "w", None))
    assert "model-index" not in found and "metrics" not in found
    assert found["license"] == "unknown"


def test_the_first_test_accuracy_is_there_if_it_is_this_trials():
    tested = front(card(document(test=TEST), "w", None))["model-index"][0]["results"]
    assert [(each["dataset"]["split"], each["metrics"][0]["value"]) for each in tested] == [
        ("test", 0.97)
    ]
    both = front(card(document(test=TEST, confirmed=CONFIRMED), "w", None))["model-index"][0]
    assert [each["dataset"]["split"] for each in both["results"]] == ["validation", "test"]
    assert "model-index" not in front(card(document(test={**TEST, "trial": 5}), "w", None))


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("MIT", {"license": "mit"}),
        ("apache-2.0", {"license": "apache-2.0"}),
        ("My Lab's Terms!", {"license": "other", "license_name": "my-lab-s-terms"}),
        ("unknown", {"license": "unknown"}),
    ],
)
def test_a_license_is_one_of_the_hubs_or_other_with_its_name(given, written):
    found = front(card(document(license=read_license(given)), "w", None))
    assert {key: value for key, value in found.items() if key.startswith("license")} == written


def test_a_license_without_a_letter_is_refused():
    with pytest.raises(UserError, match=r"must be an identifier such as mit, .* but got ' - '"):
        read_license(" - ")


@pytest.mark.parametrize("confirmed", [False, CONFIRMED])
@pytest.mark.parametrize("known", [None, judgement(), judgement(once=True)])
def test_what_is_not_known_is_left_out(confirmed, known):
    """Neither Python's None nor a column or head without anything."""
    names = {} if known is None else {"class_names": ["a", "b"]}
    text = card(document(confirmed=confirmed, **names), "w", known)
    assert "None" not in text and "False" not in text
    assert "{image_folder: {path: ../photos/Leaves 2, colour: null}}" in text
    assert "batch_norm: false" in text
    for rows in tables(text):
        assert len(rows) > 1
        assert all(len(row) == len(rows[0]) for row in rows)
        for column in zip(*rows, strict=True):
            assert column[0], rows
            assert set(column[1:]) - {"", "-"}, rows


def test_a_recall_without_an_interval_has_no_column_for_it():
    text = card(document(class_names=["a", "b"]), "w", judgement())
    (classes, matrix) = (each for each in tables(text) if each[0][0] in ("class", "true class"))
    assert classes[0] == ["class", "images", "precision", "recall", "F1"]
    assert matrix == [["true class", "a", "b"], ["a", "7", "1"], ["b", "0", "8"]]


def test_the_limits_name_the_weakest_class_and_the_input():
    origin = {"class_names": ["a", "b"], "input_shape": [1, 8, 12]}
    text = card(document(**origin), "w", judgement())
    assert "into 2 classes: a, b." in text
    assert "recognizes these classes least often: a 87.50 % (of 8 images)." in text
    assert "resized to 12 x 8 pixels and turned to gray" in text
    assert "No license was named" in text
    assert "No license was named" not in card(document(license="mit"), "w", None)


def test_the_layers_are_a_table_that_ends():
    layers = [
        {"layer": f"net.{n}", "kind": "Linear", "output_shape": [64, 8, 8], "parameters": 1234}
        for n in range(70)
    ]
    text = card(document(architecture=layers), "w", None)
    (rows,) = (each for each in tables(text) if each[0][0] == "layer")
    assert rows[:2] == [
        ["layer", "kind", "output shape", "parameters"],
        ["`net.0`", "Linear", "64 x 8 x 8", "1,234"],
    ]
    assert (len(rows), "And 10 more layers." in text) == (61, True)


def test_names_from_elsewhere_add_nothing_to_the_front_matter():
    hostile = "x\n---\nlicense: mit\n- a: [b"
    given = document(confirmed=CONFIRMED)
    given["data"]["source"] = {"image_folder": {"path": f"/photos/{hostile}"}}
    given["provenance"]["study"] = hostile
    found = front(card(given, "w", None, files=ModelFiles(folder='b"\nest', matrix=None)))
    assert found["license"] == "unknown"
    told = found["model-index"][0]
    assert told["name"] == told["results"][0]["dataset"]["name"] == "x-license- mit- a- -b"


@pytest.mark.parametrize("classes", [2, 25, 120])
def test_the_picture_is_as_large_as_its_matrix_needs(classes):
    names = [f"$class_{n}$ \u65e5 with a long name" for n in range(classes)]
    matrix = np.eye(classes, dtype=int) * 3
    content = matrix_picture(matrix.tolist(), names)
    assert content == matrix_picture(matrix.tolist(), names)  # the same bytes
    picture = Image.open(BytesIO(content))
    assert picture.format == "PNG"
    width, height = picture.size
    assert 300 < width <= 1800 and 300 < height <= 1800
