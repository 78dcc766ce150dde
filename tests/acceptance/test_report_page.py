"""The report of a real study in a real browser: whole, accessible, and asking for nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image
from ruamel.yaml import YAML
from support.browser import DESKTOP, PHONE, page_of
from support.confirming import confirming
from support.paper import SIZES, faults
from support.reporting import write_study
from support.trials import open_small

from hpsearch import component_registries
from hpsearch.reporting.assemble import PARTS, read_report, render
from hpsearch.reporting.writing import ReportFiles, write_report
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.study_file.loading import load_study

STUDY = """
study: small
description: Does a wider layer help?
seed: 5
budget: {trials: 5, epochs_per_trial: 4}
sampler: random
pruner: {median: {startup_trials: 2}}
data: {source: digits}
model: {mlp: {hidden: {values: [[8], [16]]}, dropout: {values: [0.0, 0.2]}}}
optimizer: {sgd: {lr: {min: 1e-2, max: 0.5, log: true}, momentum: 0.9}}
batch_size: 32
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    """The report of a study that was searched and confirmed in this process."""
    folder = tmp_path_factory.mktemp("reported")
    data = folder / "data"
    database = Database(f"sqlite:///{folder}/hpsearch.db")
    try:
        ensure_tables(database)
        search = open_small(database, folder, data, "data.limit=200", text=STUDY)
        search.run_all()
        confirming(search).run_to_end()
        return write_report(read_report(database, ["small"], data=data), folder / "report")
    finally:
        database.close()


@contextmanager
def opened(
    browser: Any, written: ReportFiles, size: Mapping[str, int] = DESKTOP, **options: Any
) -> Iterator[tuple[Any, list[str]]]:
    """Yield the page with all its charts drawn, and what it complained of."""
    with page_of(browser, dict(size), **options) as (page, complaints):
        page.on("request", lambda request: complaints.extend(_elsewhere(request.url, written)))
        page.goto(written.page.as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_function("document.documentElement.dataset.drawn === 'all'")
        yield page, complaints


@pytest.fixture(scope="module")
def desktop(browser: Any, written: ReportFiles) -> Iterator[tuple[Any, list[str]]]:
    """The page on a desktop, for tests that leave it as it was: to draw it takes seconds."""
    with opened(browser, written) as shown:
        yield shown


@pytest.fixture(scope="module")
def phone(browser: Any, written: ReportFiles) -> Iterator[tuple[Any, list[str]]]:
    """The page on a phone, for tests that leave it as it was."""
    with opened(browser, written, PHONE) as shown:
        yield shown


@pytest.fixture(params=["desktop", "phone"])
def shown(request: pytest.FixtureRequest) -> tuple[Any, list[str]]:
    """The page on either in turn."""
    found: tuple[Any, list[str]] = request.getfixturevalue(request.param)
    return found


def _elsewhere(url: str, written: ReportFiles) -> list[str]:
    own = url == written.page.as_uri() or url.startswith(("data:", "blob:"))
    return [] if own else [f"asked for {url}"]


def test_the_page_is_whole_quiet_and_accessible(shown: tuple[Any, list[str]]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page, complaints = shown
    sections = page.locator("main section")
    assert sections.count() == len(PARTS)
    for place in range(sections.count()):
        assert sections.nth(place).bounding_box()["height"] > 40
    places = page.locator(".plot").count()
    assert places >= 8
    assert page.locator(".plot > .plot-container").count() == places
    # Tables scroll within themselves, the page doesn't
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]

    folded = "main details:not([open])"
    closed = page.evaluate_handle(f"[...document.querySelectorAll('{folded}')]")
    grounds = set()
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        closed.evaluate("all => all.forEach(each => { each.open = true; })")
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        seen = Axe().run(page)
        told = [
            (each["id"], [node["html"] for node in each["nodes"]])
            for each in seen.response["violations"]
        ]
        assert told == [], scheme
        closed.evaluate("all => all.forEach(each => { each.open = false; })")
    assert len(grounds) == 2
    assert complaints == []


def test_the_theme_can_be_changed_by_keyboard(desktop: tuple[Any, list[str]]) -> None:
    page, _ = desktop
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('.plot text')).fill"
    light = page.evaluate(ground), page.evaluate(ink)
    page.locator("#theme").focus()
    page.keyboard.press("Enter")
    assert (page.evaluate(ground), page.evaluate(ink)) == light
    page.keyboard.press("Enter")
    dark = page.evaluate(ground), page.evaluate(ink)
    assert dark[0] != light[0] and dark[1] != light[1]
    page.keyboard.press("Enter")  # as the system again
    assert (page.evaluate(ground), page.evaluate(ink)) == light


def test_the_leaderboard_can_be_sorted(desktop: tuple[Any, list[str]]) -> None:
    page, _ = desktop
    table = page.locator("#study-small-leaderboard table")
    values = "table => [...table.tBodies[0].rows].map(row => parseFloat(row.cells[3].textContent))"
    ranked = table.evaluate(values)
    table.get_by_role("button", name="validation accuracy").click()
    assert table.evaluate(values) == sorted(ranked)
    table.get_by_role("button", name="validation accuracy").press("Enter")
    assert table.evaluate(values) == sorted(ranked, reverse=True)


def test_the_winner_can_be_copied(shown: tuple[Any, list[str]]) -> None:
    page, complaints = shown
    page.evaluate(
        "document.addEventListener('copy', () => { window.copied = String(getSelection()); });"
        "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
    )
    code = page.locator("#study-small-answer .code").first
    code.get_by_role("button", name="Copy").click()
    page.wait_for_function("window.copied")
    settings = YAML(typ="safe").load(page.evaluate("window.copied"))
    assert set(settings) >= {"model", "optimizer", "batch_size"}
    assert list(settings["model"]) == ["mlp"]
    assert code.get_by_role("button").inner_text() == "Copied"
    assert complaints == []


def test_what_is_folded_is_drawn_once_it_is_opened(browser: Any, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/hpsearch.db")
    try:
        ensure_tables(database)
        write_study(database, ["complete"] * 12)
        (tmp_path / "report.html").write_text(render(database, ["made"]))
    finally:
        database.close()
    with page_of(browser) as (page, complaints):
        page.goto((tmp_path / "report.html").as_uri())
        page.wait_for_function("document.documentElement.dataset.drawn === 'all'")
        [part] = page.locator(".folded-part").all()
        plots = part.locator(".strip .plot")
        assert plots.count() >= 2 and not plots.first.is_visible()
        part.locator("summary").first.click()
        plots.first.locator(".main-svg").first.wait_for(state="visible")
        for plot in plots.all():
            box, drawn = plot.bounding_box(), plot.locator(".main-svg").first.bounding_box()
            assert drawn["width"] == pytest.approx(box["width"], abs=2)
        assert complaints == []


def test_text_and_tables_need_no_script(browser: Any, written: ReportFiles) -> None:
    with opened(browser, written, java_script_enabled=False) as (page, _):
        assert "Confirmed" in page.locator("#study-small-answer").inner_text()
        rows = page.locator("#study-small-leaderboard tbody tr")
        assert rows.count() == 5
        assert all(rows.nth(place).is_visible() for place in range(5))
        described = page.locator("#study-small-chart-learning-curves")
        assert "needs JavaScript" in described.inner_text()


def test_a_confirmed_study_can_be_printed(browser: Any, written: ReportFiles) -> None:
    with opened(browser, written, color_scheme="dark") as (page, complaints):
        for size in SIZES:
            assert faults(page, size) == [], size
        ground = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(ground) == "rgb(255, 255, 255)"
        assert complaints == []


def test_the_hardest_pictures_are_pictures(desktop: tuple[Any, list[str]]) -> None:
    page, _ = desktop
    pictures = page.locator("#study-small-hardest img")
    assert pictures.count() > 0
    assert page.evaluate(
        "[...document.querySelectorAll('#study-small-hardest img')]"
        ".every(each => each.complete && each.naturalWidth === 8)"
    )


def test_figures_are_pictures_too(written: ReportFiles) -> None:
    drawn = [path for path in written.files if path.suffix in (".png", ".svg")]
    assert {path.stem for path in drawn} >= {"learning-curves", "finalists", "confusion"}
    for path in drawn:
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.verify()
        else:
            assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_the_study_that_it_shows_is_the_one_that_was_launched(
    written: ReportFiles, tmp_path: Path
) -> None:
    """Not the file alone: what the command line changed would be missing."""
    [told] = json.loads(written.page.with_suffix(".json").read_text())["studies"]
    shown = tmp_path / "small.yaml"
    shown.write_text(told["text"])
    assert load_study(shown, component_registries.registries).fingerprint == told["fingerprint"]


def test_labels_at_the_ends_of_curves_are_whole_and_dont_overlap(
    shown: tuple[Any, list[str]],
) -> None:
    page, _ = shown
    for chart in ("learning-curves", "winner-accuracy", "winner-loss", "winner-times"):
        plot = page.locator(f"#study-small-chart-{chart}")
        frame = plot.bounding_box()
        labels = plot.locator(".annotation-text-g text")
        boxes = [labels.nth(at).bounding_box() for at in range(labels.count())]
        assert len(boxes) >= 2, chart
        for box in boxes:
            assert frame["x"] <= box["x"], chart
            assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1, chart
        tops = sorted((box["y"], box["y"] + box["height"]) for box in boxes)
        for (_, end), (begin, _) in pairwise(tops):
            assert end <= begin + 1.5, (chart, tops)


def test_the_legend_of_the_settings_is_complete_on_a_phone(phone: tuple[Any, list[str]]) -> None:
    page, _ = phone
    plot = page.locator("#study-small-chart-parallel")
    entries = plot.locator(".legendtext")
    assert entries.count() == page.evaluate(
        "document.getElementById('study-small-chart-parallel').data.length"
    )
    for at in range(entries.count()):
        box = entries.nth(at).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]


def test_the_model_of_the_winner_has_its_size_accuracy_and_layers(
    desktop: tuple[Any, list[str]],
) -> None:
    page, _ = desktop
    rows = page.locator("#study-small-architectures > .scroll tbody tr")
    cells = rows.nth(0).locator("td").all_inner_texts()
    heads = page.locator("#study-small-architectures > .scroll thead th").all_inner_texts()
    texts = dict(zip([head.split("\n")[0].strip() for head in heads], cells, strict=True))
    assert texts["confirmed"].endswith("%")
    assert float(texts["parameters"].replace(",", "")) > 500
    layers = page.locator("#study-small-training tbody").nth(1)
    assert "Linear" in layers.inner_text()
    counted = layers.evaluate(
        "body => [...body.rows].map(row => Number(row.cells[3].textContent.replace(',', '')))"
    )
    assert sum(counted) == float(texts["parameters"].replace(",", ""))
