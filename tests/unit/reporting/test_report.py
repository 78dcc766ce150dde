"""Reports of made-up studies: whatever became of the trials, every part says something true."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from support.reporting import HOSTILE, HOSTILE_SPACE, write_study
from support.searching import LINE

from hpsearch.errors import UnknownName, UserError
from hpsearch.foreign_text import clean_value
from hpsearch.reporting.assemble import PARTS, ReportContent, assemble, read_report, render
from hpsearch.reporting.blocks import Chart, Report, Section, StudyReport, Table, Text
from hpsearch.reporting.markdown import markdown
from hpsearch.reporting.page import page
from hpsearch.reporting.writing import curves_csv, trials_csv, write_report
from hpsearch.search.database.storage import Database

MIXED = ["complete"] * 8 + ["pruned"] * 4 + ["failed"] * 2

STUDIES: dict[str, dict[str, Any]] = {
    "empty": {"ends": []},
    "one trial": {"ends": ["complete"]},
    "all pruned": {"ends": ["pruned"] * 4},
    "all failed": {"ends": ["failed"] * 3},
    "mixed": {"ends": MIXED},
    "one parameter": {"ends": ["complete"] * 6, "space": LINE},
    "several objectives": {"ends": MIXED, "objectives": ["val_accuracy", "parameters"]},
    "constraint that all break": {"ends": ["complete"] * 3, "constraints": ["parameters <= 10"]},
    "less is better": {"ends": MIXED, "metric": "val_loss"},
    "hostile": {
        "ends": MIXED,
        "space": HOSTILE_SPACE,
        "noted": {"class_names": list(HOSTILE), "val_confusion": [[3, 1, 0, 0]] * 4},
        "document": {"description": HOSTILE[0] + HOSTILE[1]},
        "error": f"ValueError: {HOSTILE[1]} {HOSTILE[2]}",
    },
}


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.within: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.within.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        while self.within and self.within.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "script" in self.within:
            self.scripts[-1] += data
        elif "style" not in self.within:
            self.texts.append(data)

    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if attributes.get("id")]


@pytest.fixture
def content(request: pytest.FixtureRequest, database: Database) -> ReportContent:
    options = dict(STUDIES[request.param])
    write_study(database, options.pop("ends"), **options)
    return read_report(database, ["made"])


every_study = pytest.mark.parametrize("content", STUDIES, indirect=True)


@every_study
def test_every_part_is_there_and_none_is_empty(content: ReportContent) -> None:
    report = assemble(content)
    [study] = report.studies
    assert len(study.sections) == len(PARTS)
    assert len({section.name for section in study.sections}) == len(PARTS)
    for section in study.sections:
        assert section.blocks, section.name
        for block in section.blocks:
            if isinstance(block, Text):
                assert block.text.strip(), section.name
            if isinstance(block, Table):
                assert block.rows, (section.name, block.caption)
                assert all(len(row) == len(block.columns) for row in block.rows)


@every_study
def test_the_page_is_whole(content: ReportContent) -> None:
    report = assemble(content)
    elements = Elements(page(report))
    ids = elements.ids()
    assert len(ids) == len(set(ids))
    assert {f"study-made-{section.name}" for section in report.studies[0].sections} <= set(ids)
    targets = {attributes["href"] for tag, attributes in elements.tags if tag == "a"}
    assert {target[1:] for target in targets if target} <= set(ids)
    # What is drawn has a place, and what has a place is drawn
    data, _program = elements.scripts
    places = {
        attributes["id"]
        for tag, attributes in elements.tags
        if tag == "div" and attributes.get("class") == "plot"
    }
    assert set(json.loads(data)) == places


@every_study
def test_charts_are_what_plotly_takes(content: ReportContent) -> None:
    for _, chart in assemble(content).charts():
        go.Figure(chart.figure)  # raises for a name or a value that plotly doesn't know
        assert chart.description
        for trace in chart.figure["data"]:
            assert "Infinity" not in json.dumps(trace, allow_nan=False)


@every_study
def test_files_are_written_and_read_back(content: ReportContent, tmp_path: Path) -> None:
    written = write_report(content, tmp_path / "out", figures=False)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == content.as_json()
    trials = list(csv.DictReader(io.StringIO((tmp_path / "out" / "trials.csv").read_text())))
    [study] = content.studies
    assert [row["number"] for row in trials] == [str(row["number"]) for row in study.trials]
    curves = list(csv.DictReader(io.StringIO((tmp_path / "out" / "curves.csv").read_text())))
    assert len(curves) == sum(map(len, study.curves.values()))
    assert all(path.stat().st_size for path in written.files)


@pytest.mark.parametrize("content", ["hostile"], indirect=True)
def test_figures_for_paper_show_every_chart(content: ReportContent, tmp_path: Path) -> None:
    from xml.etree import ElementTree

    from PIL import Image

    other_file = tmp_path / "out" / "notes.txt"
    other_file.parent.mkdir()
    other_file.write_text("mine")
    written = write_report(content, other_file.parent)
    figures = [path for path in written.files if path.suffix in (".png", ".svg")]
    assert len(figures) == 2 * len(assemble(content).figures())
    for path in figures:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.width > 600 and len(image.convert("L").getcolors(1 << 20) or []) > 5
        else:
            root = ElementTree.parse(path).getroot()
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert not [element for element in root.iter() if element.tag.endswith("script")]
    assert other_file.read_text() == "mine"
    assert not list(other_file.parent.rglob("*.unfinished"))


@pytest.mark.parametrize("content", ["hostile"], indirect=True)
def test_text_of_others_stays_text(content: ReportContent) -> None:
    report = assemble(content)
    text = page(report)
    elements = Elements(text)
    assert [tag for tag, _ in elements.tags].count("script") == 2
    for tag, attributes in elements.tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert tag != "img" or str(attributes["src"]).startswith("data:image/png;base64,")
    assert HOSTILE[0] in "".join(elements.texts)  # as text, and only as text
    for _, chart in report.charts():
        assert "<img" not in json.dumps(chart.figure)
        assert "<script" not in json.dumps(chart.figure)


def test_data_in_the_page_cant_end_its_element() -> None:
    figure = {"data": [], "layout": {"meta": [*HOSTILE, "<!--<script>", "\u2028"]}}
    chart = Chart(name="c", title="t", description="d", figure=figure)
    section = Section(name="s", title="s", blocks=[chart])
    study = StudyReport(anchor="a", name="n", description="", sections=[section])
    report = Report(title="t", byline="now", comparison=None, studies=[study])
    elements = Elements(page(report))
    data, _program = elements.scripts
    assert json.loads(data) == clean_value({"a-chart-c": figure})
    assert "<" not in data


@pytest.mark.parametrize("content", ["hostile"], indirect=True)
def test_cells_are_no_formulas(content: ReportContent) -> None:
    for text in (trials_csv(content.studies), curves_csv(content.studies)):
        for row in csv.reader(io.StringIO(text)):
            for cell in row:
                assert cell[:1] not in tuple("=@\t\r"), cell
                if cell[:1] in tuple("+-"):
                    float(cell)


@pytest.mark.parametrize("content", ["hostile"], indirect=True)
def test_markdown_has_no_markup_of_others(content: ReportContent) -> None:
    text = markdown(assemble(content), {})
    outside = "\n".join(text.split("```")[::2])
    assert "evil.example" in outside
    assert "\\[click\\](http" in outside
    for line in outside.split("\n"):
        assert "<img" not in line.replace("\\<", "")
        assert "<script" not in line.replace("\\<", "")
        if line.startswith("|"):
            assert line.endswith(" |")


def test_the_winner_is_the_ledgers(database: Database) -> None:
    search = write_study(database, MIXED)
    [study] = read_report(database, ["made"]).studies
    best = max(
        (ticket for ticket in search.tickets() if ticket.state == "complete"),
        key=lambda ticket: ticket.value or 0.0,
    )
    assert study.winner == best.number
    assert study.trials[0]["number"] == best.number
    assert study.trials[0]["value"] == best.value
    texts = _texts(assemble(read_report(database, ["made"])))
    assert any(
        f"The best seen is trial {best.number}: val_accuracy {100 * (best.value or 0):.2f} %"
        in text
        for text in texts
    )
    assert any("not confirmed" in text for text in texts)


def test_several_studies_stand_side_by_side(database: Database) -> None:
    write_study(database, MIXED, name="first")
    write_study(database, ["complete"] * 3, name="second")
    content = read_report(database, ["first", "second", "first"])
    report = assemble(content)
    assert [study.name for study in report.studies] == ["first", "second"]
    assert report.comparison is not None
    assert len({address for address, _ in report.charts()}) == len(report.charts())
    text = page(report)
    assert text.count("<article") == 2
    assert 'id="all-studies"' in text
    # One program for all of them
    assert len(text) < 7_000_000


def test_a_nonce_is_on_every_style_and_script(database: Database) -> None:
    write_study(database, MIXED)
    elements = Elements(render(database, ["made"], nonce="abc"))
    nonces = [
        attributes.get("nonce") for tag, attributes in elements.tags if tag in ("script", "style")
    ]
    assert nonces == ["abc"] * 3


def test_an_unknown_study_is_named(database: Database) -> None:
    write_study(database, [], name="there")
    with pytest.raises(UnknownName, match="there"):
        read_report(database, ["nowhere"])


def test_a_folder_that_cant_be_written_is_named(database: Database, tmp_path: Path) -> None:
    write_study(database, ["complete"])
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match="--out"):
        write_report(read_report(database, ["made"]), file, figures=False)


def _texts(report: Report) -> Sequence[str]:
    return [
        block.text if isinstance(block, Text) else block.description
        for study in report.studies
        for section in study.sections
        for block in section.blocks
        if isinstance(block, Text | Chart)
    ]


@pytest.mark.parametrize("content", ["several objectives"], indirect=True)
def test_several_objectives_are_reported_as_a_front(content: ReportContent) -> None:
    """No command is proposed that would refuse them."""
    [study] = content.studies
    text = markdown(assemble(content), {})
    assert study.winner == study.knee is not None
    assert "hpsearch confirm" not in text
    assert "hpsearch export --study made --pick knee --out made.best.yaml" in text
    assert f"**{len(study.front)} trial" in text
    assert f"its knee is trial {study.knee}" in text
    assert f"Settings of trial {study.knee}" in text


@pytest.mark.parametrize("content", ["mixed"], indirect=True)
def test_one_objective_is_to_be_confirmed(content: ReportContent) -> None:
    text = markdown(assemble(content), {})
    assert "hpsearch confirm --study made" in text
    assert "--pick" not in text
