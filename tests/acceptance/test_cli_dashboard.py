"""The dashboard in a real browser: the study is there, and nothing can be deleted."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs chromium (Debian's package of that name)")
    pytest.importorskip("playwright.sync_api", reason="needs playwright (the `dev` extra)")
    return found


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
        process.communicate(timeout=20)


def test_a_browser_shows_the_study(chromium: str, dashboard_url: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        try:
            page = browser.new_page()
            page.on(
                "console",
                lambda said: complaints.append(said.text) if said.type == "error" else None,
            )
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(dashboard_url)
            page.get_by_text("1. small").first.wait_for(timeout=60_000)
            page.get_by_text("1. small").first.click()
            page.get_by_text("val_accuracy").first.wait_for(timeout=60_000)
            assert complaints == []

            # The page offers to delete; the guard answers 405 and the study stays.
            status = page.evaluate(
                "async () => (await fetch('/api/studies/1', {method: 'DELETE'})).status"
            )
            assert status == 405
            left = page.evaluate(
                "async () => (await (await fetch('/api/studies')).json()).study_summaries.length"
            )
            assert left == 1
        finally:
            browser.close()
