"""The dashboard of a confirmed search in a real Chromium."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support.browser import DESKTOP, PHONE, page_of
from support.confirming import confirming
from support.trials import open_small

from hpsearch.dashboard.app import dashboard_server
from hpsearch.dashboard.study_view import best_trials
from hpsearch.results.confirmation.reading import read_confirmation
from hpsearch.results.confirmation.verdict import ConfirmationResult
from hpsearch.results.ranking import best
from hpsearch.results.records import StudyRecord, read_study
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database

#: Set it to take the pictures of the documentation anew.
PICTURES = "HPSEARCH_TAKE_PICTURES"
SIZE = {"width": 1280, "height": 1500} if os.environ.get(PICTURES) else DESKTOP
IMAGES = Path(__file__).parents[2] / "docs" / "images"

#: Names and words of somebody who wishes us ill.
DESCRIPTION = "Which rate is best?<script>window.hurt=1</script><img src=x onerror=window.hurt=2>"

STUDY = """
study: small
description: DESCRIPTION
seed: 11
budget: {trials: 10, epochs_per_trial: 4}
sampler: random
pruner: {asha: {reduction_factor: 2, startup_trials: 2}}
data: {source: digits, limit: 300}
model: {mlp: {hidden: {values: [[16], [32]]}}}
optimizer: {sgd: {lr: {min: 1e-2, max: 0.5, log: true}, momentum: 0.9}}
batch_size: 32
""".replace("DESCRIPTION", repr(DESCRIPTION))


@dataclass(frozen=True)
class Shown:
    """A dashboard in this process, and what it must show."""

    url: str
    record: StudyRecord
    verdict: ConfirmationResult
    best_seen: int

    @property
    def winner(self) -> int:
        return self.verdict.winner or 0


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("confirmed")
    with closing(Database(f"sqlite:///{folder}/hpsearch.db")) as database:
        ensure_tables(database)
        search = open_small(database, folder, folder / "data", text=STUDY)
        search.run_all()
        confirming(search, top=3).run_to_end()
        record = read_study(database, "small")
        verdict, seen = read_confirmation(database, record), best(record)
        assert verdict is not None
        assert seen is not None
        with dashboard_server(database, "127.0.0.1", 0) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            try:
                yield Shown(
                    url=f"http://127.0.0.1:{server.server_port}",
                    record=record,
                    verdict=verdict,
                    best_seen=seen.number or 0,
                )
            finally:
                server.shutdown()
                thread.join()


def picture(page: Any, name: str, **options: Any) -> None:
    if os.environ.get(PICTURES):
        page.mouse.move(0, 0)
        # The hostile description is no example
        page.add_style_tag(content="#hpsearch-note > h1 + p { display: none }")
        page.screenshot(path=str(IMAGES / name), **options)


def loaded(page: Any) -> list[tuple[str, int]]:
    page.wait_for_function("[...document.images].every(each => each.complete)")
    script = "[...document.images].map(each => [each.src, each.naturalWidth])"
    return [(address, width) for address, width in page.evaluate(script)]


def test_the_confirmed_one_is_best_whoever_was_seen_best(shown: Shown) -> None:
    def best_with(**changes: Any) -> list[int | None]:
        found = best_trials(shown.record, replace(shown.verdict, **changes))
        return [each.number for each in found]

    for finalist in shown.verdict.finalists:
        trial = finalist.standing.trial
        assert best_with(winner=trial) == [trial]
        assert best_with(winner=trial, invalid={trial: "leaked"}) == [shown.best_seen]
        assert best_with(winner=trial, finished=False) == [shown.best_seen]
    assert best_with(winner=None) == [shown.best_seen]


def test_the_home_page_leads_to_a_study_that_begins_with_its_note(
    browser: Any, shown: Shown
) -> None:
    with page_of(browser, SIZE) as (page, complaints):
        page.goto(shown.url)
        card = page.locator(".cards li")
        assert card.count() == 1
        interval = shown.verdict.over_seeds_and_images
        assert interval is not None
        for text in (
            "finished",
            f"{100 * interval.estimate:.2f} %",
            f"95 %: {100 * interval.low:.2f} to {100 * interval.high:.2f} %",
            f"trial {shown.winner}",
        ):
            assert text in card.inner_text()
        assert card.get_by_role("img").get_attribute("aria-label").startswith("val_accuracy of")
        card.get_by_role("link", name="small", exact=True).click()

        page.get_by_text(f"Best Trial (number={shown.winner})").wait_for()
        note = page.locator("#hpsearch-note")
        note.get_by_text(f"(trial {shown.winner}): val_accuracy").wait_for()
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
        page.wait_for_load_state("networkidle")
        # First, and nothing is over it, nor over what follows
        first = page.evaluate(
            "document.querySelector('main').innerText.trim().split('\\n')[0].trim()"
        )
        assert first.startswith("small")
        assert covered(page, "#hpsearch-note") == []
        assert covered(page, "main .MuiCard-root") == []
        # So few complete trials have no importances
        assert shown.record.counts.complete < 10
        assert not page.get_by_text("Hyperparameter Importance").first.is_visible()
        assert page.locator(".js-plotly-plot").count() >= 2
        # What would change something isn't even offered
        assert not page.get_by_text("Upload a New File").is_visible()
        picture(page, "dashboard.png")

        page.get_by_role("link", name="Trials (List)").click()
        page.get_by_text("Trial 0 (trial_id=").first.wait_for()
        assert not note.is_visible()
        page.go_back()
        note.wait_for()
        page.get_by_title("Return to the top page").click()
        page.get_by_role("heading", name="Studies", exact=True).wait_for()
        assert page.url == f"{shown.url}/"
        assert complaints == []


def covered(page: Any, selector: str) -> list[str]:
    """Return what is drawn over the corners and the middle of elements that are in sight."""
    found: list[str] = page.evaluate(
        """selector => [...document.querySelectorAll(selector)].flatMap(each => {
            const box = each.getBoundingClientRect();
            if (box.width === 0) return [];
            const points = [[0.5, 0.5], [0.02, 0.05], [0.98, 0.05], [0.02, 0.95], [0.98, 0.95]];
            return points.map(([x, y]) => [box.left + x * box.width, box.top + y * box.height])
                .filter(([x, y]) => x >= 0 && y >= 0 && x < innerWidth && y < innerHeight)
                .map(([x, y]) => document.elementFromPoint(x, y))
                .filter(top => top && !each.contains(top) && !top.contains(each))
                .map(top => `${top.tagName} ${top.className}`);
        })""",
        selector,
    )
    return found


def test_a_trial_s_page(browser: Any, shown: Shown) -> None:
    with page_of(browser, SIZE) as (page, complaints):
        page.goto(f"{shown.url}/dashboard/studies/1/trials?numbers={shown.winner}")
        page.get_by_text("confirmed winner").wait_for()
        page.wait_for_load_state("networkidle")
        pictures = loaded(page)
        for kind in ("-a", "-b"):
            # In the note, and among the artifacts
            assert len([width for address, width in pictures if address.endswith(kind)]) == 2
        assert all(width > 100 for _, width in pictures)
        page.get_by_text("config.yaml").wait_for()
        picture(page, "dashboard-trial.png")
        assert complaints == []


def test_the_frozen_config_is_the_confirmed_one(browser: Any, shown: Shown) -> None:
    with page_of(browser) as (page, _):
        study = page.request.get(f"{shown.url}/api/studies/1").json()
        trial = study["trials"][shown.winner]
        (found,) = (each for each in trial["artifacts"] if each["filename"] == "config.yaml")
        path = f"/artifacts/1/{trial['trial_id']}/{found['artifact_id']}"
        fetched = page.request.get(shown.url + path).text()
        assert f"Trial {shown.winner} of study small, confirmed with fresh seeds" in fetched


def test_notes_are_rendered_and_hostile_words_are_words(browser: Any, shown: Shown) -> None:
    with page_of(browser) as (page, complaints):
        # In hpsearch's own head, too
        page.goto(f"{shown.url}/dashboard/studies/1")
        page.locator("#hpsearch-note").get_by_text(DESCRIPTION).wait_for()
        assert page.evaluate("window.hurt") is None
        page.goto(f"{shown.url}/dashboard/studies/1/note")
        page.get_by_text(DESCRIPTION).filter(visible=True).wait_for()
        confirmed = page.get_by_text(f"{100 * shown.verdict.confirmed:.2f} %")
        confirmed.filter(visible=True).first.wait_for()
        assert page.evaluate("window.hurt") is None
        page.get_by_role("link", name="Report", exact=True).click()
        page.get_by_role("heading", name="small").first.wait_for()
        page.wait_for_load_state("networkidle")
        assert page.url == f"{shown.url}/report/small"
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
        assert page.evaluate("window.hurt") is None
        assert complaints == []


def test_the_report_runs_no_script_but_its_own(browser: Any, shown: Shown) -> None:
    with page_of(browser) as (page, complaints):
        page.goto(f"{shown.url}/report/small")
        page.wait_for_load_state("networkidle")
        page.evaluate(
            """() => {
                const script = document.createElement('script')
                script.textContent = 'window.hurt = 3'
                document.body.append(script)
                return fetch('https://example.org/').catch(() => null)
            }"""
        )
        assert page.evaluate("window.hurt") is None
        assert any("Content Security Policy" in each for each in complaints)


def test_nothing_can_be_changed(browser: Any, shown: Shown) -> None:
    with page_of(browser) as (page, _):
        # As the page's own script asks
        own = {"Origin": shown.url, "Sec-Fetch-Site": "same-origin"}
        for method in ("DELETE", "POST", "PUT"):
            for path in ("/api/studies/1", "/api/studies/1/note", "/artifacts/1/1/1-1-a", "/"):
                answer = page.request.fetch(shown.url + path, method=method, headers=own)
                assert answer.status == 405, (method, path)
        left = page.request.get(f"{shown.url}/api/studies").json()["study_summaries"]
        assert len(left) == 2


#: A page of the dashboard -> whether it has a part that hpsearch adds.
PAGES = {
    "/": True,
    "/dashboard/studies/1": True,
    "/dashboard/studies/1/trials": False,
    "/dashboard/studies/1/note": False,
}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_phone_and_what_hpsearch_adds_is_accessible(
    browser: Any, shown: Shown, path: str
) -> None:
    """One page for all sizes and schemes: to load the dashboard takes seconds."""
    with page_of(browser, PHONE) as (page, complaints):
        page.goto(shown.url + path)
        page.get_by_text("small").first.wait_for()
        page.wait_for_load_state("networkidle")
        # Not sideways
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert complaints == []
        if not PAGES[path]:
            return
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
        page.locator(".hpsearch").wait_for()
        inks = set()
        for size in (PHONE, DESKTOP):
            page.set_viewport_size(size)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                inks.add(
                    page.evaluate("getComputedStyle(document.querySelector('.hpsearch')).color")
                )
                found = axe.Axe().run(page, context=".hpsearch").response["violations"]
                assert [(each["id"], each["help"]) for each in found] == [], (size, scheme)
        # Optuna's pages follow a switch of their own
        assert len(inks) == (2 if path == "/" else 1)
