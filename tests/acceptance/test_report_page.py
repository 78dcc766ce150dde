"""The report of a real study in a real browser: whole, accessible, and asking for nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image
from support.confirming import confirming
from support.trials import open_small

from hpsearch.results.report.assemble import PARTS, read_report
from hpsearch.results.report.writing import Written, write_report
from hpsearch.search.schema_version import ensure_tables
from hpsearch.search.storage import Database

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

DESKTOP, PHONE = 1440, 390

STUDY = """
study: small
description: Does a wider layer help?
seed: 5
budget: {trials: 5, epochs_per_trial: 4}
sampler: random
pruner: {median: {startup_trials: 2}}
data: {source: digits, limit: 200}
model: {mlp: {hidden: {values: [[8], [16]]}, dropout: {values: [0.0, 0.2]}}}
optimizer: {sgd: {lr: {min: 1e-2, max: 0.5, log: true}, momentum: 0.9}}
batch_size: 32
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The report of a study that was searched and confirmed in this process."""
    folder = tmp_path_factory.mktemp("reported")
    data = folder / "data"
    database = Database(f"sqlite:///{folder}/hpsearch.db")
    try:
        ensure_tables(database)
        search = open_small(database, folder, data, text=STUDY)
        search.run_all()
        confirming(search).run_to_end()
        return write_report(read_report(database, ["small"], data=data), folder / "report")
    finally:
        database.close()


@dataclass
class Opened:
    """A page and everything that it complained about or asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs chromium (Debian's package of that name)")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (`dev` extra)")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, written: Written) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def open_page(width: int = DESKTOP, scheme: str = "light", **options: Any) -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        contexts.append(context)
        found = Opened(context.new_page())
        found.page.on(
            "console",
            lambda said: (
                found.complaints.append(said.text) if said.type in ("error", "warning") else None
            ),
        )
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on("request", lambda request: found.requests.append(request.url))
        found.page.goto(written.page.as_uri())
        if options.get("java_script_enabled", True):
            found.page.wait_for_function(
                "document.documentElement.dataset.drawn === 'all'", timeout=60_000
            )
        return found

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_whole_quiet_and_accessible(
    opened: Callable[..., Opened], written: Written, width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found = opened(width, scheme)
    page = found.page
    sections = page.locator("main section")
    assert sections.count() == len(PARTS)
    for place in range(sections.count()):
        assert sections.nth(place).bounding_box()["height"] > 40
    places = page.locator(".plot").count()
    assert places >= 8
    assert page.locator(".plot > .plot-container").count() == places
    # Tables scroll within themselves, the page doesn't
    assert page.evaluate("document.documentElement.scrollWidth") == width

    for summary in page.locator("main details > summary").all():
        summary.click()
    seen = Axe().run(page)
    told = [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in seen.response["violations"]
    ]
    assert told == []
    assert found.complaints == []
    elsewhere = [url for url in found.requests if not url.startswith(("data:", "blob:"))]
    assert elsewhere == [written.page.as_uri()]


def test_the_theme_can_be_changed_by_keyboard(opened: Callable[..., Opened]) -> None:
    page = opened().page
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('.plot text')).fill"
    light = page.evaluate(ground), page.evaluate(ink)
    page.locator("#theme").focus()
    page.keyboard.press("Enter")
    assert (page.evaluate(ground), page.evaluate(ink)) == light
    page.keyboard.press("Enter")
    dark = page.evaluate(ground), page.evaluate(ink)
    assert dark[0] != light[0] and dark[1] != light[1]


def test_the_leaderboard_can_be_sorted(opened: Callable[..., Opened]) -> None:
    page = opened().page
    table = page.locator("#study-small-leaderboard table")
    values = "table => [...table.tBodies[0].rows].map(row => parseFloat(row.cells[3].textContent))"
    ranked = table.evaluate(values)
    table.get_by_role("button", name="validation accuracy").click()
    assert table.evaluate(values) == sorted(ranked)
    table.get_by_role("button", name="validation accuracy").press("Enter")
    assert table.evaluate(values) == sorted(ranked, reverse=True)


def test_text_and_tables_need_no_script(opened: Callable[..., Opened]) -> None:
    page = opened(java_script_enabled=False).page
    assert "Confirmed" in page.locator("#study-small-answer").inner_text()
    rows = page.locator("#study-small-leaderboard tbody tr")
    assert rows.count() == 5
    assert all(rows.nth(place).is_visible() for place in range(5))
    described = page.locator("#study-small-chart-learning-curves")
    assert "needs JavaScript" in described.inner_text()


def test_it_can_be_printed(opened: Callable[..., Opened]) -> None:
    page = opened(DESKTOP, "dark").page
    assert page.pdf(format="A4")[:5] == b"%PDF-"
    # What printing changed is changed back
    assert page.evaluate("document.documentElement.dataset.theme") is None
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    width = page.evaluate(
        "Math.max(...[...document.querySelectorAll('.plot .main-svg')]"
        ".map(each => each.getBoundingClientRect().width))"
    )
    assert width <= 690  # A4 less its margins, in CSS pixels
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_the_hardest_pictures_are_pictures(opened: Callable[..., Opened]) -> None:
    page = opened().page
    pictures = page.locator("#study-small-hardest img")
    assert pictures.count() > 0
    assert page.evaluate(
        "[...document.querySelectorAll('#study-small-hardest img')]"
        ".every(each => each.complete && each.naturalWidth === 8)"
    )


def test_figures_are_pictures_too(written: Written) -> None:
    drawn = [path for path in written.files if path.suffix in (".png", ".svg")]
    assert {path.stem for path in drawn} >= {"learning-curves", "finalists", "confusion"}
    for path in drawn:
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.verify()
        else:
            assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
