"""A report with much in it on paper and on a phone: many settings, 25 classes, two stages."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.browser import DESKTOP, PHONE, page_of
from support.paper import SIZES, faults, outside, print_alone, read_pdf, to_paper
from support.reporting import write_study

from hpsearch.reporting.assemble import read_report
from hpsearch.reporting.writing import write_report
from hpsearch.search.database.storage import Database
from hpsearch.study_file.space import Choice, Group, Range, Space

CLASSES = [
    "airplane", "ambulance", "apple", "bicycle", "butterfly", "camera", "castle", "caterpillar",
    "dolphin", "elephant", "fire truck", "guitar", "helicopter", "hospital", "kangaroo",
    "lighthouse", "motorbike", "octopus", "penguin", "pineapple", "sailboat", "school bus",
    "submarine", "telephone", "windmill",
]  # fmt: skip
MANY = len(CLASSES)
#: Rows: some classes are recognised always, others confused with their neighbours.
MATRIX = [
    [
        100 - 3 * (row % 9)
        if row == column
        else (3 * (row % 9) if column == (row + 7) % MANY else 0)
        for column in range(MANY)
    ]
    for row in range(MANY)
]
SETTINGS = Space(
    Group(
        {
            "architecture": Choice(("dilated_cnn", "residual_network", "mlp")),
            "learning_rate": Range(low=1e-4, high=0.5, log=True),
            "hidden_widths": Choice(("[512, 256, 128, 64]", "[128, 64]")),
            **{
                f"block_{place}_channels": Range(low=8, high=64, integer=True) for place in range(9)
            },
        }
    )
)
ENDS = ["complete"] * 14 + ["pruned"] * 12 + ["failed"]


@pytest.fixture(scope="module")
def address(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("printed")
    shutil.copy(sqlite_template, folder / "hpsearch.db")
    database = Database(f"sqlite:///{folder / 'hpsearch.db'}")
    try:
        write_study(
            database,
            ENDS,
            name="architectures_of_many_kinds",
            space=SETTINGS,
            noted={"class_names": CLASSES, "val_confusion": MATRIX},
            document={"description": "Which of three architectures is best? " * 4},
        )
        write_study(
            database,
            ENDS,
            name="activations",
            document={"found": {"study": "architectures_of_many_kinds"}},
        )
        content = read_report(database, ["architectures_of_many_kinds", "activations"])
        return write_report(content, folder / "report", figures=False).page.as_uri()
    finally:
        database.close()


def test_nothing_is_cut_broken_or_tiny_on_paper(browser: Any, address: str) -> None:
    with page_of(browser, DESKTOP, color_scheme="dark") as (page, complaints):
        page.goto(address)
        for size in SIZES:
            assert faults(page, size) == [], size
            # One column
            lefts = page.eval_on_selector_all(
                ".chart", "all => all.map(each => Math.round(each.getBoundingClientRect().left))"
            )
            assert len(lefts) > 10
            assert set(lefts) == {0}
        assert complaints == []


def test_a_printed_leaderboard_has_six_columns(browser: Any, address: str) -> None:
    visible = "all => all.filter(each => each.checkVisibility()).map(each => each.innerText)"
    with page_of(browser, DESKTOP) as (page, _):
        page.goto(address)
        heads = "#study-architectures_of_many_kinds-leaderboard thead th"
        assert len(page.eval_on_selector_all(heads, visible)) == 7 + 12
        to_paper(page)
        printed = page.eval_on_selector_all(heads, visible)
        assert len(printed) == 6
        assert printed[:4] == ["trial", "#", "validation accuracy", "epochs"]
        note = page.locator("#study-architectures_of_many_kinds-leaderboard tfoot")
        assert note.inner_text() == (
            "The first 15 of 27 rows. 6 of 19 columns. The page on the screen has all."
        )


def test_a_pdf_made_without_a_user_is_whole(browser: Any, address: str, tmp_path: Path) -> None:
    """Chromium prints when the page has loaded: no chart has been in sight, and none was drawn."""
    with page_of(browser, DESKTOP) as (page, _):
        page.goto(address)
        drawn = page.eval_on_selector_all(".plot", "all => all.length")
        for size in SIZES:
            page.pdf(format=size, path=str(tmp_path / f"{size}.pdf"))
            # What printing changed is changed back
            page.wait_for_function("document.documentElement.dataset.drawn === 'all'")
            assert page.evaluate("document.documentElement.dataset.theme") is None
            assert page.locator(".plot > .plot-container").count() == drawn
            assert page.locator(".svg-container[style*=aspect]").count() == 0
        to_paper(page)
        # Text that stands upright: a title beside an axis comes out of a PDF letter by letter
        visible = page.evaluate(
            """() => [...document.querySelectorAll(
                'th, td, h1, h2, h3, h4, p, dt, dd, strong, .xtitle, .legendtext, .ytick text'
            )].filter(each => each.children.length === 0 && each.checkVisibility())
                .map(each => each.textContent)"""
        )
    print_alone(address, tmp_path / "alone.pdf")
    # Letters that stand alone in their lines aren't a word
    expected = {word for text in visible for word in re.findall(r"\b[A-Za-z]{4,24}\b", text)}
    assert {"caterpillar", "Predicted", "epochs", "Leaderboard"} <= expected
    for name, paper in (*((size, size) for size in SIZES), ("alone", "Letter")):
        pages = read_pdf(tmp_path / f"{name}.pdf")
        assert outside(pages, paper) == []
        assert expected - set(re.findall(r"[A-Za-z]+", " ".join(each.text for each in pages))) == (
            set()
        )


def test_a_phone_shows_25_classes_with_their_numbers(browser: Any, address: str) -> None:
    with page_of(browser, PHONE) as (page, complaints):
        page.goto(address)
        page.wait_for_function("document.documentElement.dataset.drawn === 'all'")
        found = page.evaluate(
            """() => {
                const chart = document.querySelector('[id$=-chart-confusion]');
                const box = each => {
                    const {left, right, top, bottom} = each.getBoundingClientRect();
                    return [left, right, top, bottom];
                };
                const numbers = [...chart.querySelectorAll('.annotation-text')];
                const names = [...chart.querySelectorAll('.ytick text, .xtick text')];
                return {
                    chart: box(chart),
                    cells: box(chart.querySelector('.heatmaplayer image')),
                    numbers: numbers.map(box), names: names.map(box),
                    texts: numbers.map(each => each.textContent),
                    wide: chart.scrollWidth - chart.clientWidth,
                };
            }"""
        )
        left, right, top, bottom = found["chart"]
        assert found["wide"] <= 0
        assert left >= 0
        assert right <= PHONE["width"]
        assert len(found["names"]) == 2 * MANY
        for name in found["names"]:
            assert left - 1 <= name[0] <= name[1] <= right + 1
            assert top - 1 <= name[2] <= name[3] <= bottom + 1
        diagonal = sum(MATRIX[at][at] == 100 for at in range(MANY))
        assert found["texts"].count("100") == diagonal > 0
        assert len(found["texts"]) >= 2 * MANY - diagonal
        cell = (found["cells"][1] - found["cells"][0]) / MANY
        assert all(number[1] - number[0] <= cell for number in found["numbers"])
        assert complaints == []


def test_a_wide_table_keeps_its_first_column_and_shows_that_it_goes_on(
    browser: Any, address: str
) -> None:
    # It fades in and out
    shown = "box => Number(getComputedStyle(box, '::after').opacity) > 0.99"
    gone = "box => Number(getComputedStyle(box, '::after').opacity) < 0.01"
    with page_of(browser, PHONE, reduced_motion="reduce") as (page, _):
        page.goto(address)
        box = page.locator("#study-architectures_of_many_kinds-leaderboard .scroll")
        box.scroll_into_view_if_needed()
        page.wait_for_function(
            "box => box.classList.contains('more-right')", arg=box.element_handle()
        )
        page.wait_for_function(shown, arg=box.element_handle())
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        first = box.locator("tbody td").first
        before = first.bounding_box()
        box.evaluate("box => { box.scrollLeft = box.scrollWidth; }")
        page.wait_for_function(
            "box => !box.classList.contains('more-right')", arg=box.element_handle()
        )
        page.wait_for_function(gone, arg=box.element_handle())
        assert first.bounding_box() == before
        assert first.inner_text().strip().isdigit()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_studies_side_by_side_are_accessible(
    browser: Any, address: str, size: dict[str, int]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe (`dev`)")
    with page_of(browser, size, color_scheme="dark") as (page, complaints):
        page.goto(address)
        page.wait_for_function("document.documentElement.dataset.drawn === 'all'")
        found = axe.Axe().run(page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
        assert page.locator(".stages li").count() == 2
        assert complaints == []
