"""A report on paper: what is cut, broken or too small to read.

Paper is checked twice: the page as the browser lays it out for print, in the width of the paper's
column, and the PDF itself.
"""

from __future__ import annotations

import shutil
import subprocess
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.browser import FLAGS

#: Width and height in points (1/72 inch).
SIZES = {"A4": (595.28, 841.89), "Letter": (612.0, 792.0)}
#: Margins of the page's style, in millimetres: left and right, top and bottom.
_SIDE, _TOP = 12.0, 14.0
_POINTS = 72 / 25.4
#: CSS pixels per point.
_PIXELS = 96 / 72
#: The smallest text that is read without effort, in points.
READABLE = 7.0

#: What is wrong with the page in the browser's window, a line each.
_FAULTS = """([width, readable, pixels]) => {
  const faults = [];
  const name = each => `${each.tagName} "${(each.textContent || '').trim().slice(0, 40)}"`;
  const seen = each => each.checkVisibility() && each.getClientRects().length > 0;
  const all = [...document.querySelectorAll('body *')].filter(seen);
  for (const each of all) {
    if (each.closest('.skip, caption, script, style, defs, clipPath')) continue;
    const box = each.getBoundingClientRect();
    if (box.width === 0 || box.height === 0) continue;
    const svg = each.closest('svg');
    if (svg === null && (box.right > width + 1 || box.left < -1)) {
      faults.push(`${name(each)} reaches from ${box.left} to ${box.right} of ${width}`);
    }
    if (svg === null && each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 0 &&
        getComputedStyle(each).display !== 'inline') {
      faults.push(`${name(each)} is cut: ${each.scrollWidth} in ${each.clientWidth}`);
    }
    const written = [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!written) continue;
    let size = parseFloat(getComputedStyle(each).fontSize);
    if (svg !== null) {
      const drawn = svg.closest('.main-svg').getBoundingClientRect();
      const scale = each.getScreenCTM();
      size *= Math.hypot(scale.a, scale.b);
      if (box.left < drawn.left - 1 || box.right > drawn.right + 1 || box.top < drawn.top - 1 ||
          box.bottom > drawn.bottom + 1 || drawn.right > width + 1) {
        const sides = [box.left, box.right, box.top, box.bottom];
        faults.push(`${name(each)} leaves its chart: ${sides}` +
          ` in ${[drawn.left, drawn.right, drawn.top, drawn.bottom]}`);
      }
    }
    if (size / pixels < readable - 0.01) faults.push(`${name(each)} has ${size / pixels} points`);
  }
  // A word of a table, of a title or of a paragraph is in one line
  const words = /(?<![\\p{L}\\p{N}])[\\p{L}\\p{N}]{2,24}(?![\\p{L}\\p{N}])/gu;
  for (const each of all.filter(one => !one.closest('svg, pre, script, style, caption'))) {
    for (const node of each.childNodes) {
      if (node.nodeType !== 3) continue;
      for (const found of node.data.matchAll(words)) {
        const range = document.createRange();
        range.setStart(node, found.index);
        range.setEnd(node, found.index + found[0].length);
        const lines = new Set([...range.getClientRects()].map(one => Math.round(one.top)));
        if (lines.size > 1) faults.push(`${name(each)} breaks the word ${found[0]}`);
      }
    }
  }
  return faults;
}"""


@dataclass(frozen=True)
class PaperPage:
    """One page of a PDF: its text, and where its ink is."""

    text: str
    #: Left, bottom, right, top of all characters, in points.
    ink: tuple[float, float, float, float]


def column(size: str) -> int:
    """Return the width of the paper's column, in CSS pixels."""
    return int((SIZES[size][0] - 2 * _SIDE * _POINTS) * _PIXELS)


def to_paper(page: Any) -> None:
    """Switch a page to the media ``print``, and wait until its charts are drawn for it."""
    page.emulate_media(media="print")
    # The script sets it and draws all charts before anything else runs
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")


def faults(page: Any, size: str) -> list[str]:
    """Return what is cut, broken or unreadable if the page is printed; the page stays in print."""
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": column(size), "height": 1200})
    to_paper(page)
    found: list[str] = page.evaluate(_FAULTS, [column(size), READABLE, _PIXELS])
    return found


def print_alone(address: str, path: Path) -> None:
    """Let Chromium print a page without a user, when it has loaded: on Letter, its default."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"
    done = subprocess.run(
        [program, *FLAGS, f"--print-to-pdf={path}", "--no-pdf-header-footer", address],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert path.exists(), done.stderr


def read_pdf(path: Path) -> list[PaperPage]:
    """Return the pages of a PDF."""
    import pypdfium2

    pages = []
    with pypdfium2.PdfDocument(path) as document:
        for page in document:
            text = page.get_textpage()
            boxes = [
                text.get_charbox(place)
                for place in range(text.count_chars())
                if text.get_text_range(place, 1).strip()
            ]
            sides = list(zip(*boxes, strict=True)) or [(0.0,)] * 4
            ink = min(sides[0]), min(sides[1]), max(sides[2]), max(sides[3])
            # "ff" may be one sign
            words = unicodedata.normalize("NFKC", text.get_text_bounded())
            pages.append(PaperPage(text=words, ink=ink))
    return pages


def outside(pages: list[PaperPage], size: str) -> list[str]:
    """Return the pages that have text in a margin or beyond the paper."""
    width, height = SIZES[size]
    side, top = _SIDE * _POINTS - 1.5, _TOP * _POINTS - 1.5
    return [
        f"page {number}: {page.ink}"
        for number, page in enumerate(pages, start=1)
        if page.ink[0] < side
        or page.ink[1] < top
        or page.ink[2] > width - side
        or page.ink[3] > height - top
    ]
