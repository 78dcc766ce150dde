"""The dashboard in a real browser: the study is there, and nothing can be deleted."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support.browser import chromium, page_of


@pytest.fixture
def dashboard_url(searched_shell) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "hpsearch", "dashboard", "--port", "0", "--no-browser"],
        cwd=searched_shell.folder,
        env=searched_shell.environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found is not None, line
        yield found[0]
    finally:
        process.terminate()
        process.communicate(timeout=240)


def test_a_browser_shows_the_study(dashboard_url: str) -> None:
    with chromium() as browser, page_of(browser) as (page, complaints):
        page.goto(dashboard_url)
        page.get_by_role("link", name="small", exact=True).click()
        page.get_by_text("val_accuracy").first.wait_for()
        page.locator("#hpsearch-note").get_by_text("The best seen is ").wait_for()
        assert complaints == []

        # The guard answers 405 and the study stays.
        status = page.evaluate(
            "async () => (await fetch('/api/studies/1', {method: 'DELETE'})).status"
        )
        assert status == 405
        left = page.evaluate(
            "async () => (await (await fetch('/api/studies')).json()).study_summaries.length"
        )
        assert left == 1
