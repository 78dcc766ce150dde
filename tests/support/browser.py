"""Pages in a real Chromium, and what they complain about."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield a browser; skips where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs chromium (Debian's package of that name)")
    pytest.importorskip("playwright.sync_api", reason="needs playwright (the `dev` extra)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(
    browser: Any, size: dict[str, int] | None = None, **options: Any
) -> Iterator[tuple[Any, list[str]]]:
    """Yield a page, and the errors that it reports from then on."""
    complaints: list[str] = []
    page = browser.new_page(viewport=size or DESKTOP, **options)
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_default_timeout(60_000)
    try:
        yield page, complaints
    finally:
        page.close()
