from __future__ import annotations

import pytest
from support.searching import BRANCHED

from hpsearch.reporting.analysis.parameters import parameter_of, with_branches
from hpsearch.search.history import distribution_of
from hpsearch.study_file.space import Choice, Range, format_value, short_name


def test_a_parameter_knows_the_branches_it_applies_in() -> None:
    parameters = with_branches(
        {
            "model": Choice(("mlp", "cnn")),
            "model.cnn.pool": Choice(("max", "mean")),
            "model.mlp.width": Range(low=1, high=8, integer=True),
            "lr": Range(low=1e-3, high=1.0, log=True),
        }
    )
    assert parameters["model.cnn.pool"].branch == {"model": "cnn"}
    assert parameters["model.mlp.width"].branch == {"model": "mlp"}
    assert parameters["lr"].branch == {} == parameters["model"].branch


def test_a_choice_whose_path_only_looks_alike_is_no_branch() -> None:
    parameters = with_branches({"model": Choice(("cnn",)), "model.vgg.width": Choice((1, 2))})
    assert parameters["model.vgg.width"].branch == {}


def test_what_was_drawn_late_stands_with_its_relatives() -> None:
    paths = ["model", "model.mlp.width", "lr", "batch_size", "model.cnn.pool", "model.mlp.depth"]
    order = list(with_branches(dict.fromkeys(paths, Choice(("mlp", "cnn")))))
    assert order == [
        "model", "model.mlp.width", "model.mlp.depth", "model.cnn.pool", "lr", "batch_size",
    ]  # fmt: skip


@pytest.mark.parametrize("path", list(BRANCHED.parameters()))
def test_a_parameter_is_read_back_from_its_distribution(path: str) -> None:
    from optuna.distributions import distribution_to_json

    parameter = BRANCHED.parameters()[path]
    again = parameter_of(distribution_to_json(distribution_of(parameter)))
    if isinstance(parameter, Choice):
        assert isinstance(again, Choice)
        assert again.labels == parameter.labels
    else:
        assert isinstance(again, Range)
        assert (again.low, again.high, again.log) == (parameter.low, parameter.high, parameter.log)
        assert again.integer is parameter.integer


def test_a_short_name_is_still_unambiguous() -> None:
    paths = dict.fromkeys(["optimizer.sgd.lr", "optimizer.adam.lr", "model.cnn.width"])
    assert short_name("model.cnn.width", paths) == "width"
    assert short_name("optimizer.sgd.lr", paths) == "sgd.lr"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "none"), (True, "true"), (0.02000001, "0.02"), (3, "3"), ("relu", "relu")],
)
def test_values_are_shown_as_people_write_them(value: object, text: str) -> None:
    assert format_value(value) == text  # type: ignore[arg-type]
