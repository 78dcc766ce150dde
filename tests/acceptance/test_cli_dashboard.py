"""The command's own process (test_dashboard_in_a_browser.py has the pages in a browser)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest


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


def test_it_shows_the_study_and_nothing_can_be_deleted(dashboard_url: str) -> None:
    assert "The best seen is " in read(f"{dashboard_url}")
    page = read(f"{dashboard_url}dashboard/studies/1")
    assert 'id="hpsearch-note"' in page
    assert "The best seen is " in page

    # The guard answers 405 and the study stays
    with pytest.raises(urllib.error.HTTPError, match="405"):
        read(f"{dashboard_url}api/studies/1", method="DELETE")
    (left,) = json.loads(read(f"{dashboard_url}api/studies"))["study_summaries"]
    assert left["study_name"] == "small"


def read(url: str, method: str = "GET") -> str:
    request = urllib.request.Request(url, method=method)
    with urllib.request.urlopen(request, timeout=240) as answer:
        text: str = answer.read().decode()
        return text
