"""What a reader sees first: the cards, the winner to copy, and nothing undecided in sight."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image
from ruamel.yaml import YAML
from support.evidence import evidence
from support.reporting import write_study
from support.specs import made_up_result

from hpsearch.reporting.analysis.effects import effects
from hpsearch.reporting.analysis.matrices import (
    ClassDifference,
    Matrices,
    Matrix,
    Versus,
)
from hpsearch.reporting.analysis.pictures import HardPicture, WrongPictures
from hpsearch.reporting.assemble import ReportContent, assemble
from hpsearch.reporting.blocks import (
    Block,
    Charts,
    Commands,
    Facts,
    Folded,
    Pictures,
    Section,
    Table,
    Text,
    Tile,
    Tiles,
)
from hpsearch.reporting.content import StudyConfirmation, StudyContent
from hpsearch.reporting.hard_pictures import HardPictures, Thumbnail
from hpsearch.reporting.markdown import markdown
from hpsearch.reporting.page import page
from hpsearch.reporting.reading import read_content
from hpsearch.reporting.sections.answer import answer
from hpsearch.reporting.sections.images import classes, hardest, label_errors
from hpsearch.reporting.sections.parameters import effects as effects_section
from hpsearch.reporting.sections.winner import winner
from hpsearch.reporting.writing import label_errors_csv
from hpsearch.results.confirmation.plan import FinalistRank
from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.confirmation.verdict import (
    Comparison,
    ConfirmationResult,
    Cost,
    Finalist,
)
from hpsearch.results.confirmation_gap import find_test_gap
from hpsearch.results.final_evaluations import FinalEvaluation
from hpsearch.results.verdicts import Verdict
from hpsearch.search.database.storage import Database

DOCUMENT = {"objective": {"metric": "val_accuracy", "at": "last"}, "data": {"source": "digits"}}
CONFIRMED = Interval(estimate=0.78, low=0.77, high=0.79)


@pytest.fixture
def content(database: Database) -> StudyContent:
    write_study(database, ["complete"] * 8 + ["pruned"] * 4)
    return read_content(database, "made")


def confirmed(content: StudyContent, **changes: Any) -> StudyContent:
    verdict = made_up_result(CONFIRMED, **changes)
    confirmation = StudyConfirmation(
        study="made-confirm", nth=1, newer_trials=0, rule="the best", options=(), verdict=verdict
    )
    return replace(content, confirmed=confirmation)


def after_test(
    content: StudyContent, accuracy: float, verdict: ConfirmationResult, times: int = 1
) -> StudyContent:
    """Return the content after the test images were opened, the first time with ``accuracy``."""
    evaluation = FinalEvaluation(
        trial=4, epoch=3, images=400, loss=0.5, accuracy=accuracy, macro_f1=accuracy,
        balanced_accuracy=accuracy, class_names=["a", "b"], confusion=[[1, 0], [0, 1]],
    )  # fmt: skip
    gap = find_test_gap(verdict, evaluation, DOCUMENT)
    return replace(content, test=[evaluation] * times, test_gap=gap)


def tiles(section: Section) -> Sequence[Tile]:
    return [tile for block in section.blocks if isinstance(block, Tiles) for tile in block.tiles]


def tile_of_test(section: Section) -> Tile:
    return next(tile for tile in tiles(section) if tile.label == "Test accuracy")


def facts(blocks: Sequence[Block]) -> dict[str, str]:
    return {
        name: text for block in blocks if isinstance(block, Facts) for name, text in block.facts
    }


def test_the_first_screen_is_in_order(content: StudyContent) -> None:
    before = replace(confirmed(content), advice="Stop here.", answer=["It is trial 4."])
    assert before.confirmed is not None
    section = answer(after_test(before, 0.785, before.confirmed.verdict))
    contents = [
        block.lines[0] if isinstance(block, Commands)
        else block.tiles[0].label if isinstance(block, Tiles)
        else block.text if isinstance(block, Text) else ""
        for block in section.blocks
    ]  # fmt: skip
    yaml = before.winner_yaml.split("\n")[0]
    order = [yaml, "Confirmed, 2 fresh seeds", "It is trial 4.", "Stop here.", "Test accuracy"]
    assert [text for text in contents if text in order] == order


def test_the_test_accuracy_is_a_card_once_it_is_known(content: StudyContent) -> None:
    before = confirmed(content)
    assert tiles(answer(before))[0].label.startswith("Confirmed")
    assert before.confirmed is not None
    first = tile_of_test(answer(after_test(before, 0.785, before.confirmed.verdict)))
    assert (first.label, first.value, first.alarm) == ("Test accuracy", "78.50 %", "")
    assert "on 400 images that no trial has seen" in first.detail
    again = tile_of_test(answer(after_test(before, 0.785, before.confirmed.verdict, times=2)))
    assert again.detail.endswith("opened 2 times, this is the first")


def test_a_test_accuracy_outside_the_confirmed_interval_has_a_red_line(
    content: StudyContent,
) -> None:
    before = confirmed(content)
    assert before.confirmed is not None
    outside = after_test(before, 0.6, before.confirmed.verdict)
    first = tile_of_test(answer(outside))
    assert first.alarm == "outside the confirmed interval, 77.00 to 79.00 %"
    report = assemble(
        ReportContent(
            made_at="2026-01-01T00:00:00", version="1", studies=[outside], comparison=None
        )
    )
    assert '<div class="bad"><dt>Test accuracy</dt>' in page(report)
    assert f"**{first.alarm}**" in markdown(report, {}).replace("\\", "")


def test_optimism_is_never_negative(content: StudyContent) -> None:
    modest = confirmed(content, optimism=0.0)
    best_tile = tiles(answer(modest))[1]
    assert best_tile.detail == "one seed; the search was not optimistic here"
    optimism = facts(winner(modest).blocks)["Optimism of the search"]
    assert optimism.startswith("the search was not optimistic here")
    assert "optimistic" in tiles(answer(confirmed(content)))[1].detail


def test_the_winner_has_three_lines_and_is_yaml(content: StudyContent) -> None:
    number = content.winner
    row = content.row(number)
    section = answer(replace(content, winner_model="lenet5"))
    lines = facts(section.blocks)
    assert list(lines) == ["Model", "Training", "Size and speed"]
    assert lines["Model"] == "lenet5"
    assert lines["Training"].startswith(f"optimizer {row['optimizer']}, lr ")
    assert lines["Size and speed"].startswith(f"{row['parameters']:,} learned parameters")
    commands = [block for block in section.blocks if isinstance(block, Commands)]
    assert commands[1].lines == ["hpsearch confirm --study made"]


def test_the_next_command_depends_on_what_is_known(content: StudyContent) -> None:
    def command(of: StudyContent) -> str:
        _, first, *_ = [block for block in answer(of).blocks if isinstance(block, Commands)]
        return first.lines[0]

    assert command(content) == "hpsearch confirm --study made"
    assert command(confirmed(content)) == "hpsearch export --study made --bundle best/"
    invalid = confirmed(content, invalid={4: "wrong labels"})
    assert command(invalid) == "hpsearch confirm --study made --again"
    assert "--pick knee" in command(replace(content, objectives={"a": "maximize", "b": "minimize"}))


def test_the_yaml_has_the_settings_of_the_winner(searched: Any) -> None:
    study = read_content(searched.database, "made_up")
    settings = YAML(typ="safe").load(study.winner_yaml)
    assert study.winner_model == "line"
    params = study.params(study.winner)
    assert settings["model"] == {"line": {"width": params["model.line.width"]}}
    assert settings["optimizer"] == {"walk": {"lr": params["optimizer.walk.lr"]}}
    assert "data" not in settings, "of which nothing was searched"


def test_why_a_finalist_lost_is_a_column_in_points(content: StudyContent) -> None:
    def finalist(place: int, trial: int, reason: str | None = None) -> Finalist:
        after = None if reason is None else 3
        rank = FinalistRank(trial=trial, mean=0.7, seeds=3, rejected_after=after, reason=reason)
        return Finalist(
            standing=rank, place=place, seen=0.8, reported=0.7, trainings=3, cost=Cost()
        )

    ahead = Interval(estimate=0.02, low=-0.01, high=0.05)
    lead = Comparison(trial=2, ahead=ahead, seeds=3, fresh=True, cheaper={})
    section = winner(
        confirmed(
            content,
            finalists=[finalist(1, 4), finalist(2, 2), finalist(3, 1, "it is 5.00 points behind")],
            leads={2: lead},
        )
    )
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert table.columns[-1].label == "why it isn't the winner"
    assert [row[-1] for row in table.rows] == [
        "",
        "2.00 points behind (95 %: -1.00 to +5.00 points for the winner), not distinguishable",
        "dropped after seed 3: it is 5.00 points behind",
    ]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"confusion": [[60, 20], [10, 30]]},
            "Each of 2 trainings kept 60 images out of its training to validate on, drawn anew. "
            "Some were drawn more than once, so together they are 100 validation images.",
        ),
        (
            {"new_splits": False},
            "Validated on 100 validation images, the same in 2 trainings, and never trained on.",
        ),
        (
            {"folds": 3},
            "Each of 2 trainings divided the images anew into 3 folds and was validated on all of "
            "them: 100 validation images.",
        ),
    ],
)
def test_numbers_of_images_are_explained(
    content: StudyContent, changes: dict[str, Any], says: str
) -> None:
    assert facts(winner(confirmed(content, **changes)).blocks)["Images"] == says


EFFECTS = effects(
    evidence(lambda p: 0.8 + {1: 0.0, 2: 0.03, 3: 0.02}[p["dilation"]] + 0.05 * p["flip"])
)


def test_what_is_undecided_is_one_sentence_and_a_folded_strip(content: StudyContent) -> None:
    first, *others = EFFECTS.effects
    decided = [replace(first, verdict=Verdict.YES)]
    undecided = [replace(effect, verdict=Verdict.UNDECIDED) for effect in others if effect.levels]
    assert len(undecided) > 2
    study_effects = replace(EFFECTS, effects=(*decided, *undecided))
    section = effects_section(replace(content, effects=study_effects))
    [folded] = [block for block in section.blocks if isinstance(block, Folded)]
    assert folded.summary.startswith(f"Undecided: {undecided[0].name}")
    [strip] = [block for block in folded.blocks if isinstance(block, Charts)]
    assert strip.strip
    assert [chart.title for chart in strip.charts] == [effect.name for effect in undecided]
    ranges = [tuple(chart.figure["layout"]["yaxis"]["range"]) for chart in strip.charts]
    assert len(set(ranges)) == 1, "one scale, or they couldn't be compared"
    assert all(chart.table is None and not chart.note for chart in strip.charts)
    open_charts = [
        chart for block in section.blocks if isinstance(block, Charts) for chart in block.charts
    ]
    assert [
        chart.title.split(":")[0] for chart in open_charts if chart.name.startswith("effect")
    ] == [effect.name for effect in decided]
    assert not any("undecided" in chart.title for chart in open_charts)


def test_without_enough_trials_the_effects_are_one_sentence(content: StudyContent) -> None:
    few = effects(evidence(lambda p: 0.8, trials=3))
    [block] = effects_section(replace(content, effects=few)).blocks
    assert isinstance(block, Text)
    assert block.text.startswith("Effects need at least 8 complete trials")


def versus(other: int, *widths: float) -> Versus:
    return Versus(
        trial=4,
        other=other,
        seeds=3,
        classes=tuple(
            ClassDifference(
                name=f"c{place}",
                ahead=Interval(estimate=0.0, low=-width, high=width),
                images=3,
            )
            for place, width in enumerate(widths)
        ),
    )


def test_comparisons_by_class_that_show_nothing_are_left_out(content: StudyContent) -> None:
    matrices = Matrices(
        class_names=("c0", "c1"),
        finalists=(Matrix(trial=4, trainings=3, counts=[[1, 0], [0, 1]]),),
        versus=(versus(1, 1.0, 1.0), versus(2, 0.1, 0.2), versus(3, 0.1, 1.0)),
        pictures=WrongPictures(),
        images=6,
    )
    section = classes(replace(content, matrices=matrices))
    [charts] = [block for block in section.blocks if isinstance(block, Charts)]
    assert [chart.name for chart in charts.charts] == [
        "classes-against-2", "classes-against-3",
    ]  # fmt: skip
    tables = [chart.table for chart in charts.charts if chart.table is not None]
    assert [len(table.rows) for table in tables] == [2, 1]
    texts = [block.text for block in section.blocks if isinstance(block, Text)]
    assert any(text.startswith("Recall by class isn't compared with 1 finalist") for text in texts)


def test_hard_pictures_have_their_file_and_three_guesses(content: StudyContent) -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    source = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    picture = HardPicture(
        row=7, truth="cat", taken_for="dog", times=5, guesses=(("dog", 5), ("cat", 3), ("bird", 1)),
        wrong=6, trainings=9, loss=2.0, probability=0.2,
    )  # fmt: skip
    thumbnail = Thumbnail(picture=picture, source=source, name="cat/a.png")
    hard_pictures = HardPictures(hardest=[thumbnail, replace(thumbnail, name=None)])
    section = hardest(replace(content, pictures=hard_pictures))
    first, second = next(block.pictures for block in section.blocks if isinstance(block, Pictures))
    assert list(first.lines) == [
        "cat/a.png", "cat; wrong in 6 of 9 trainings", "guesses: dog 5, cat 3, bird 1",
    ]  # fmt: skip
    assert second.lines[0] == "row 7"
    matrices = Matrices(
        class_names=("cat", "dog"), finalists=(), versus=(), images=9,
        pictures=WrongPictures(hardest=(picture,), label_errors=(picture,) * 3, judged=9),
    )  # fmt: skip
    unseen = replace(content, matrices=matrices, pictures=HardPictures(reason="Not here."))
    [table] = [block for block in hardest(unseen).blocks if isinstance(block, Table)]
    assert table.rows[0][0] == "row 7"
    assert table.rows[0][-1] == "dog 5, cat 3, bird 1"
    # One of three label errors as a picture: the others are listed
    some = replace(unseen, pictures=HardPictures(label_errors=[thumbnail], names={7: "cat/a.png"}))
    _, pictures, table = label_errors(some).blocks
    assert isinstance(pictures, Pictures) and isinstance(table, Table)
    assert list(pictures.pictures[0].lines) == [
        "cat/a.png", "label: cat (20.00 %)", "all 9 trainings: dog",
    ]  # fmt: skip
    assert [row[0] for row in table.rows] == ["cat/a.png"] * 2
    csv_rows = list(csv.DictReader(io.StringIO(label_errors_csv([some]))))
    assert [row["file"] for row in csv_rows] == ["cat/a.png"] * 3
    first_row = csv_rows[0]
    assert (first_row["label"], first_row["predicted"], first_row["row"]) == ("cat", "dog", "7")
