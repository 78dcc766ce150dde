"""Every link of the pages leads somewhere, and the glossary is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hpsearch

ROOT = Path(hpsearch.__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def without_blocks(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page)):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        other = page.parent / name if name else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


def test_every_page_is_in_the_readmes_list():
    readme = PAGES[0].read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"](docs/{page.name})" not in readme] == []


def test_the_glossary_has_one_sentence_for_each_term_in_alphabetical_order():
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", page, flags=re.MULTILINE)[2:]
    terms = [term for term, _ in rows]
    assert len(terms) >= 40
    assert terms == sorted(terms, key=str.lower)
    assert [
        term for term, meaning in rows if not re.fullmatch(r"[A-Z][^.]*(?:\.\w[^.]*)*\.", meaning)
    ] == []
