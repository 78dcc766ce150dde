"""``recipe``: sections for the keys that a file leaves out, expanded before they are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hpsearch import component_registries
from hpsearch.errors import StudyFileError
from hpsearch.study_file.loading import load_study, study_from_document
from hpsearch.study_file.recipes import sections_of
from hpsearch.study_file.sections import NEED_WEIGHTS, RECIPES
from hpsearch.study_file.study import StudyFile

HEAD = """\
study: short
budget: {trials: 4, epochs_per_trial: 2}
data: {source: {cifar10: {train_batches: [1, 2]}}}
"""

#: What the recipe of these tests gives.
SMALL = {
    "data": {"augmentation": {"random_crop": {"padding": 2}, "horizontal_flip": True}},
    "model": {"conv_net": {"conv1": {"channels": 16}}},
    "optimizer": {"sgd": {"lr": {"min": 0.01, "max": 1, "log": True}, "momentum": 0.5}},
    "evaluate": "ema",
}

Load = Callable[..., StudyFile]


@pytest.fixture
def load(tmp_path, registries_of, monkeypatch) -> Load:
    """Load a text as a study file, in a place with the recipe ``small``."""
    monkeypatch.setitem(RECIPES, "small", SMALL)

    def load_text(text: str, *overrides: str) -> StudyFile:
        path = tmp_path / "short.yaml"
        path.write_text(HEAD + text)
        return load_study(path, registries_of, overrides=overrides)

    return load_text


def test_a_recipe_means_its_sections(load: Load) -> None:
    short = load("recipe: small\n")
    assert list(short.space.parameters()) == ["optimizer.sgd.lr"]
    assert short.document["evaluate"] == "ema"
    assert short.document["model"]["conv_net"]["conv1"]["channels"] == 16
    assert list(short.document["data"]["augmentation"]) == ["random_crop", "horizontal_flip"]


def test_the_files_own_keys_win(load: Load) -> None:
    study = load(
        "recipe: small\n"
        "model: {conv_net: {padding: valid}}\n"
        "optimizer: {sgd: {momentum: 0.9}, adam: {}}\n"
        "evaluate: weights\n"
    )
    assert study.document["model"]["conv_net"]["padding"] == "valid"
    assert study.document["model"]["conv_net"]["conv1"]["channels"] == 16
    assert list(study.document["optimizer"]) == ["sgd", "adam"]
    assert study.document["optimizer"]["sgd"]["momentum"] == 0.9
    assert study.document["optimizer"]["sgd"]["lr"]["max"] == 1
    assert "evaluate" not in study.document

    other = load("recipe: small\nmodel: mlp\n")
    assert list(other.document["model"]) == ["mlp"]


def test_an_override_changes_what_the_recipe_gives(load: Load) -> None:
    assert load("recipe: small\n", "optimizer.sgd.lr=0.1").is_frozen
    switched = load("recipe: null\n", "recipe=small")
    assert (switched.recipe, switched.fingerprint) == ("small", load("recipe: small\n").fingerprint)


def test_a_stored_study_has_the_sections_and_not_the_name(
    load: Load, registries_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load("recipe: small\n")
    assert study.recipe == "small"
    assert "recipe" not in study.document
    monkeypatch.setitem(RECIPES, "small", {"batch_size": 7})  # a later version's

    stored = study_from_document(study.document, registries_of, text=study.text)

    assert stored == study
    assert stored.fingerprint == study.fingerprint
    assert stored.document["batch_size"] == 32
    assert load("recipe: small\nmodel: mlp\noptimizer: adam\n").fingerprint != study.fingerprint


def test_the_expansion_is_what_the_study_has_now(load: Load) -> None:
    study = load("recipe: small\n", "evaluate=weights", "model=mlp")
    sections = sections_of("small", study.document)
    assert list(sections) == ["data", "model", "optimizer"]
    assert sections["model"] == study.document["model"]
    assert list(sections["model"]) == ["mlp"]


def test_an_unknown_recipe(load: Load) -> None:
    with pytest.raises(StudyFileError) as raised:
        load("recipe: smal\n")  # the keys that a recipe fills in aren't missing, too
    (problem,) = raised.value.problems
    assert (problem.key, "small" in problem.message) == ("recipe", True)
    assert problem.where.endswith("short.yaml:4")


def real(tmp_path: Path, name: str, text: str = "", *overrides: str) -> StudyFile:
    """Load a study of a real recipe, with the real components."""
    path = tmp_path / "short.yaml"
    path.write_text(
        f"study: short\nbudget: {{trials: 4, epochs_per_trial: 2}}\nrecipe: {name}\n{text}"
    )
    return load_study(path, component_registries.registries, overrides=overrides)


DIGITS = "data: {source: digits}\n"
PRETRAINED = "model: {resnet18: {weights: imagenet}}\n"


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_valid_study(name: str, tmp_path: Path) -> None:
    study = real(tmp_path, name, DIGITS + (PRETRAINED if name in NEED_WEIGHTS else ""))
    assert list(study.space.parameters()) == ["optimizer.sgd.lr"]
    assert all(len(study.document[key]) == 1 for key in ("model", "optimizer", "lr_schedule"))
    for key, section in RECIPES[name].items():
        assert as_written(study.document[key], section) == section, key


def as_written(full: Any, section: Any) -> Any:
    """Return the part of a document's section that a recipe gives."""
    if not isinstance(section, Mapping):
        return full
    return {key: as_written(full[key], value) for key, value in section.items()}


@pytest.mark.parametrize(
    ("model", "key", "words"),
    [
        ("", "model", "the file has no model; add one, such as {resnet18: {weights: imagenet}}"),
        ("model: resnet18\n", "model.resnet18.weights", "but got none; give its weights"),
        (
            "model: {torchvision: {name: vgg11, weights: {values: [none]}}}\n",
            "model.torchvision.weights",
            "but got none",
        ),
        (
            "model: {resnet18: {weights: imagenet}, simple_cnn: }\n",
            "model.simple_cnn",
            "has no key `weights`; use one of resnet18, resnet50, timm, torchvision",
        ),
    ],
)
def test_fine_tuning_needs_weights(model: str, key: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(StudyFileError) as raised:
        real(tmp_path, "finetune", DIGITS + model)
    (problem,) = (problem for problem in raised.value.problems if "the recipe" in problem.message)
    assert (problem.key, words in problem.message) == (key, True), problem


def test_weights_may_come_from_an_override_or_be_one_of_several(tmp_path: Path) -> None:
    study = real(tmp_path, "finetune", DIGITS, "model={resnet18: {weights: imagenet}}")
    assert study.document == real(tmp_path, "finetune", DIGITS + PRETRAINED).document
    searched = "model: {resnet18: {weights: {values: [none, imagenet]}}}\n"
    assert not real(tmp_path, "finetune", DIGITS + searched).is_frozen


def test_a_study_with_a_loop_of_its_own_has_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from hpsearch.training.loops import LOOPS\n\n\n"
        "@LOOPS.register('loop_with_a_recipe')\n"
        'def mine(context, /, *, lr: float):\n    """Mine."""\n    yield {"dice": lr}\n'
    )
    loop = (
        "plugins: [mine.py]\nloop: {loop_with_a_recipe: {lr: {min: 0.1, max: 1}}}\n"
        "metrics: {dice: maximize}\nobjective: dice\n"
    )
    with pytest.raises(StudyFileError, match=r"short.yaml:3: recipe: .*\(`loop`\) can't have"):
        real(tmp_path, "fast", loop)
    with pytest.raises(StudyFileError, match=r"^--set recipe=fast: recipe: .*`loop`"):
        real(tmp_path, "null", loop, "recipe=fast")
