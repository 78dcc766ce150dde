"""Trials by model: every trial a dot from the first one on, and a table of the models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from support.reporting import SPACE, write_study
from support.searching import LINE

from hpsearch.reporting.analysis.branches import branching
from hpsearch.reporting.analysis.parameters import with_branches
from hpsearch.reporting.assemble import assemble, read_report
from hpsearch.reporting.blocks import Chart, Charts, Table, Text
from hpsearch.reporting.charts.groups import best_curves, dots, groups
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.markdown import markdown
from hpsearch.reporting.sections.architectures import architectures
from hpsearch.reporting.sections.images import classes
from hpsearch.reporting.sections.training import training
from hpsearch.results.final_evaluations import FinalEvaluation, record_evaluation
from hpsearch.search.database.storage import Database
from hpsearch.study_file.space import Branch, Choice, Group, Range, Space

MODELS = Space(
    Group(
        {
            "model": Branch(
                {
                    "mlp": Group({"dropout": Range(low=0.0, high=0.5)}),
                    "cnn": Group({"channels": Choice((8, 16, 32))}),
                }
            ),
            "lr": Range(low=1e-4, high=0.5, log=True),
        }
    )
)


def read(database: Database, ends: list[str], space: Space = MODELS, **more: Any) -> StudyContent:
    write_study(database, ends, space=space, **more)
    return read_report(database, ["made"]).studies[0]


def chart_of(content: StudyContent) -> Chart:
    chart = dots(content, groups(content))
    assert chart is not None
    return chart


def traces(chart: Chart) -> dict[str, Mapping[str, Any]]:
    return {trace["name"]: trace for trace in chart.figure["data"]}


def test_one_trial_is_enough(database: Database) -> None:
    content = read(database, ["complete"])
    by_name = traces(chart_of(content))
    [value] = by_name["complete"]["x"]
    assert by_name["best complete trial"]["x"] == [value]
    assert by_name["median of complete trials"]["x"][:2] == [value, value]


def test_every_trial_is_a_dot_in_the_row_of_its_model(database: Database) -> None:
    content = read(database, ["complete"] * 5 + ["pruned"] * 3 + ["failed"])
    chart = chart_of(content)
    layout = chart.figure["layout"]
    rows = dict(zip(layout["yaxis"]["ticktext"], layout["yaxis"]["tickvals"], strict=True))
    assert set(rows) == {"mlp", "cnn"}
    by_name = traces(chart)
    places = {}
    for name in ("complete", "stopped early or paused (last value)"):
        for number, place in zip(by_name[name]["customdata"], by_name[name]["y"], strict=True):
            places[number] = round(place)
    by_state = {row["number"]: row for row in content.trials}
    assert set(places) == {number for number, row in by_state.items() if row["state"] != "failed"}
    assert all(place == rows[by_state[number]["model"]] for number, place in places.items())
    # The one with the best trial is on top
    assert rows[content.row(content.ranked[0])["model"]] == 1
    assert "Not drawn: 1 trial" in chart.note


def test_best_and_median_are_of_complete_trials(database: Database) -> None:
    content = read(database, ["complete"] * 6 + ["pruned"] * 6)
    for group in groups(content):
        values = sorted(row["value"] for row in group.rows if row["state"] == "complete")
        assert group.best is not None
        assert group.best["value"] == values[-1]
        assert group.median == pytest.approx(values[1])
        assert len(group.rows) > len(values)


def test_stopped_trials_alone_are_shown_and_explained(database: Database) -> None:
    content = read(database, ["pruned"] * 4)
    chart = chart_of(content)
    assert list(traces(chart)) == ["stopped early or paused (last value)"]
    assert "isn't comparable" in chart.note


@pytest.mark.parametrize(
    ("state", "name"),
    [
        ("paused", "stopped early or paused (last value)"),
        ("running", "still running (last value)"),
    ],
)
def test_unfinished_trials_are_shown_differently(database: Database, state: str, name: str) -> None:
    content = read(database, ["complete"] * 2)
    [first, second] = content.trials
    chart = chart_of(replace(content, trials=[first, {**second, "state": state}]))
    assert traces(chart)[name]["customdata"] == [second["number"]]


def test_invalid_trials_are_counted_not_drawn(database: Database) -> None:
    content = read(database, ["complete"] * 2)
    [first, second] = content.trials
    chart = chart_of(replace(content, trials=[first, {**second, "state": "invalid"}]))
    assert sum(len(trace["customdata"]) for trace in chart.figure["data"][:1]) == 1
    assert "Not drawn: 1 trial" in chart.note


def test_without_a_value_the_part_says_when_there_will_be_one(database: Database) -> None:
    section = architectures(read(database, ["failed"] * 2))
    [text] = section.blocks
    assert isinstance(text, Text)
    assert "from the first one on" in text.text


def parameters(space: Space) -> Any:
    return with_branches(space.parameters())


@pytest.mark.parametrize(
    ("space", "path", "architecture"),
    [
        pytest.param(MODELS, "model", True, id="models"),
        pytest.param(
            Space(
                Group(
                    {
                        "model": Group({"mlp": Group({"hidden": Choice(("[32]", "[64]"))})}),
                        "optimizer": Branch(
                            {
                                "sgd": Group({"momentum": Range(low=0.5, high=0.9)}),
                                "adam": Group({}),
                            }
                        ),
                    }
                )
            ),
            "optimizer",
            False,
            id="a branch, if models aren't searched",
        ),
        pytest.param(
            Space(
                Group(
                    {
                        "data": Group({"normalization": Choice(("raw", "unit"))}),
                        "model": Group({"mlp": Group({"hidden": Choice(("div2", "div4"))})}),
                    }
                )
            ),
            "model.mlp.hidden",
            True,
            id="variants of the model, if nothing has keys of its own",
        ),
        pytest.param(SPACE, "optimizer", False, id="any choice of words"),
        pytest.param(LINE, None, True, id="numbers alone"),
    ],
)
def test_trials_are_grouped_by_what_the_study_compares(
    space: Space, path: str | None, architecture: bool
) -> None:
    choice = branching(parameters(space), {"model": {"mlp": {"hidden": [32]}}})
    assert choice.path == path
    assert choice.is_architecture is architecture
    assert choice.path is not None or choice.only == "mlp"


def test_without_a_choice_all_trials_are_one_row(database: Database) -> None:
    content = read(database, ["complete"] * 3, LINE)
    [group] = groups(content)
    assert len(group.rows) == 3
    assert architectures(content).title == "By architecture"


def test_the_part_is_named_after_the_branch(database: Database) -> None:
    assert architectures(read(database, ["complete"] * 3, SPACE)).title == "By optimizer"


def table_of(content: StudyContent) -> Table:
    return next(block for block in architectures(content).blocks if isinstance(block, Table))


def rows_of(content: StudyContent) -> dict[str, dict[str, str]]:
    table = table_of(content)
    labels = [column.label for column in table.columns]
    return {row[0]: dict(zip(labels, row, strict=True)) for row in table.rows}


def evaluation(trial: int, **more: Any) -> FinalEvaluation:
    return FinalEvaluation(
        trial=trial,
        epoch=3,
        images=10,
        loss=0.3,
        accuracy=0.8,
        macro_f1=0.8,
        balanced_accuracy=0.8,
        class_names=["a", "b"],
        confusion=[[4, 1], [1, 4]],
        **more,
    )


def test_the_table_has_size_accuracy_and_times(database: Database) -> None:
    write_study(database, ["complete"] * 4, space=MODELS)
    [before] = read_report(database, ["made"]).studies
    winner = before.row(before.winner)
    record_evaluation(database, database_id(database), evaluation(winner["number"]))
    [content] = read_report(database, ["made"]).studies
    curves = {
        number: [replace(epoch, seconds=5.0, val_seconds=1.5) for epoch in curve]
        for number, curve in content.curves.items()
    }
    rows = rows_of(replace(content, curves=curves))
    row = rows.pop(winner["model"])
    assert row["trial"] == str(winner["number"])
    assert row["parameters"] == f"{winner['parameters']:,}"
    assert row["test accuracy"] == "80.00 %"
    assert row["epoch: training"] == "3.5 s"
    assert row["epoch: validation"] == "1.5 s"
    assert row["whole training"] == "6.0 s"
    assert row["confirmed"] == "-"
    [other] = rows.values()
    assert other["test accuracy"] == "-"


def database_id(database: Database) -> int:
    from hpsearch.results.records import read_study

    return read_study(database, "made").study.study_id


def test_the_first_evaluation_alone_is_a_test(database: Database) -> None:
    write_study(database, ["complete"] * 4, space=MODELS)
    for number in (1, 0):
        record_evaluation(database, database_id(database), evaluation(number))
    [content] = read_report(database, ["made"]).studies
    accuracies = {row["trial"]: row["test accuracy"] for row in rows_of(content).values()}
    assert accuracies["1"] == "80.00 %"
    assert [cell for cell in accuracies.values() if cell != "-"] == ["80.00 %"]


def test_a_model_without_a_complete_trial_shows_its_best_stopped_one(database: Database) -> None:
    content = read(database, ["complete", "pruned", "failed", "pruned"])
    values = {1: 0.2, 3: 0.3}
    trials = [{**row, "value": values.get(row["number"], row["value"])} for row in content.trials]
    cells = rows_of(replace(content, trials=trials))["cnn"]
    assert (cells["trial"], cells["in search"]) == ("3 (stopped)", "30.00 %")


def test_curves_of_the_best_trial_of_each_model(database: Database) -> None:
    content = read(database, ["complete"] * 4)
    accuracy, loss = best_curves(content, groups(content))
    assert (accuracy.name, loss.name) == ("groups-accuracy", "groups-loss")
    names = [trace["name"] for trace in accuracy.figure["data"]]
    assert sorted(names) == ["cnn", "cnn", "mlp", "mlp"]  # validation and training
    labels = [annotation["text"] for annotation in accuracy.figure["layout"]["annotations"]]
    assert sorted(labels) == ["cnn", "mlp"]
    assert best_curves(content, groups(content)[:1]) == []


def test_the_winners_training_has_accuracy_loss_and_both_times(database: Database) -> None:
    content = read(database, ["complete"] * 2)
    number = content.winner
    assert number is not None
    curve = [
        replace(epoch, train_accuracy=0.3 * epoch.epoch, seconds=3.0, val_seconds=1.0)
        for epoch in content.curves[number]
    ]
    section = training(replace(content, curves={**content.curves, number: curve}))
    [charts] = [block for block in section.blocks if isinstance(block, Charts)]
    by_name = {chart.name: chart.figure["data"] for chart in charts.charts}
    accuracy, validation = by_name["winner-accuracy"]
    assert accuracy["y"] == pytest.approx([30.0, 60.0, 90.0])
    assert validation["y"] == [content.scaled(epoch) for epoch in curve]
    assert [trace["y"] for trace in by_name["winner-times"]] == [[2.0] * 3, [1.0] * 3]
    [table] = [block for block in section.blocks if isinstance(block, Table)]
    assert [column.label for column in table.columns][5:7] == ["training time", "validation time"]
    assert table.rows[0][5:7] == ["2.0 s", "1.0 s"]


def test_one_epoch_is_a_table_without_lines(database: Database) -> None:
    section = training(read(database, ["complete"], epochs=1))
    assert not [block for block in section.blocks if isinstance(block, Charts)]
    assert [block for block in section.blocks if isinstance(block, Table)]


def test_the_test_matrix_is_beside_that_of_validation(database: Database) -> None:
    attributes = {"class_names": ["a", "b"], "val_confusion": [[3, 1], [0, 4]]}
    write_study(database, ["complete"] * 2, noted=attributes)
    [before] = read_report(database, ["made"]).studies
    assert [block.name for block in classes(before).blocks if isinstance(block, Chart)] == [
        "confusion"
    ]
    winner = before.winner or 0
    record_evaluation(database, database_id(database), evaluation(winner, models=3))
    [content] = read_report(database, ["made"]).studies
    [both] = [block for block in classes(content).blocks if isinstance(block, Charts)]
    assert [chart.name for chart in both.charts] == ["confusion", "confusion-test"]
    tested = both.charts[1]
    assert tested.table is not None
    assert [list(row) for row in tested.table.rows] == [["a", "4", "1"], ["b", "1", "4"]]
    assert f"trial {winner} on the test images, 3 models" in tested.title
    assert "on the test images" in markdown(assemble(read_report(database, ["made"])), {})


def test_a_test_without_a_matrix_is_no_chart(database: Database) -> None:
    """With very many classes it can't be read, and an early event may have none."""
    write_study(database, ["complete"] * 2)
    record_evaluation(database, database_id(database), replace(evaluation(0), confusion=[]))
    [content] = read_report(database, ["made"]).studies
    assert not [block for block in classes(content).blocks if isinstance(block, Chart | Charts)]


def test_code_of_a_plug_in_isnt_run_for_a_table_of_layers(database: Database) -> None:
    """Who reads a report trusts its page, not the Python of whoever wrote the study."""
    attributes = {"class_names": ["a", "b"], "input_shape": [1, 8, 8]}
    document = {"plugins": [{"path": "/nowhere/net.py", "sha256": "0" * 64}]}
    content = read(database, ["complete"], noted=attributes, document=document)
    assert content.layers.summary is None
    assert "plug-ins" in (content.layers.reason or "")
    texts = [block.text for block in training(content).blocks if isinstance(block, Text)]
    assert any("hpsearch check --study made --model-summary" in text for text in texts)


def test_a_model_that_cant_be_built_here_says_why(database: Database) -> None:
    attributes = {"class_names": ["a", "b"], "input_shape": [1, 8, 8]}
    content = read(database, ["complete"], noted=attributes)  # its document names no model
    assert content.layers.summary is None
    assert "can't be built here" in (content.layers.reason or "")
