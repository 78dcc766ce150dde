"""What other people wrote stays their text, whatever signs it has; read by a Markdown parser."""

from __future__ import annotations

import html
import re

import pytest
from markdown_it import MarkdownIt
from support.reporting import HOSTILE

from hpsearch.results.export.card import ModelFiles, card
from hpsearch.results.export.card_metrics import Judgement
from hpsearch.results.markdown import Code, block, code, inline, plain, table, words

RENDER = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render

TEXTS = [
    *HOSTILE,
    "# heading",
    "- list",
    "1. list",
    "---",
    "a | b",
    "| a |\n|---|\n| b |",
    "`code` and ``more``",
    "*bold* _soft_ __init__ _",
    "~~gone~~ ![picture](x.png) [link]: http://evil.example",
    "<b>bold</b> <!-- hidden -->",
    "back\\slash \\| \\",
    "val_macro_f1",
    "`",
]


def text_of(rendered: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", rendered)).strip()


@pytest.mark.parametrize("text", TEXTS)
def test_a_paragraph_is_text_and_nothing_else(text: str) -> None:
    rendered = RENDER(plain(text))
    assert re.findall(r"<(\w+)", rendered) == ["p"]
    assert text_of(rendered) == " ".join(text.split())
    assert re.findall(r"<(\w+)", RENDER(f"# a {inline(text)}")) == ["h1"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_cell_is_text_and_stays_a_cell(text: str) -> None:
    rendered = RENDER(table([text, "b"], [["c", text], [Code(text), "d"]]))
    cells = re.findall(r"<t[hd]>(.*?)</t[hd]>", rendered)
    assert len(cells) == 6
    line = " ".join(text.split())
    assert [text_of(cell) for cell in cells] == [line, "b", "c", line, line, "d"]
    assert [cell.startswith("<code>") for cell in cells] == [False] * 4 + [True, False]
    assert not re.search(r"<(?!/?code)", "".join(cells))


@pytest.mark.parametrize("text", TEXTS)
def test_code_is_what_was_given(text: str) -> None:
    rendered = RENDER(f"a {code(text)} b")
    assert re.findall(r"<(\w+)", rendered) == ["p", "code"]
    assert text_of(rendered) == f"a {' '.join(text.split())} b"


def test_what_turns_the_writing_or_rings_is_a_blank() -> None:
    hostile = "a\u202eb\x1b[31mc\x07d\u2066e"
    for shown in (plain(hostile), inline(hostile), code(hostile), words(hostile), block(hostile)):
        assert not any(sign in shown for sign in "\u202e\u2066\x1b\x07")


@pytest.mark.parametrize("text", TEXTS)
def test_a_block_of_code_ends_where_it_should(text: str) -> None:
    rendered = RENDER(f"{block(f'{text}```')}\n\nafter")
    assert re.findall(r"<(\w+)", rendered) == ["pre", "code", "p"]


def test_what_means_nothing_isnt_escaped() -> None:
    assert inline("val_accuracy of conv1_channels: -0.4 to +0.2") == (
        "val_accuracy of conv1_channels: -0.4 to +0.2"
    )


@pytest.mark.parametrize("text", TEXTS)
def test_a_card_of_a_hostile_config_has_no_markup_of_its(text: str) -> None:
    """A frozen config may come from anywhere: what is in it is text in the card."""
    document = {
        "study": "made",
        "description": text,
        "seed": 1,
        "objective": {"metric": "val_accuracy", "at": "last"},
        "data": {"source": {text: text}, "normalization": text},
        "model": {text: {"width": text}},
        "provenance": {
            "study": text,
            "trial": text,
            "class_names": [text, "b"],
            "versions": {text: text},
            "repository": {"commit": text},
            **dict.fromkeys(("data_hash", "split_seed", "device", "precision"), text),
        },
    }
    judgement = Judgement(confusion=[[3, 1], [0, 4]], what="some images", once=True)
    files = ModelFiles(folder=text, matrix="confusion.png")
    made = card(document, text, judgement, contract=text, weights=text, files=files)
    _, front, page = re.split(r"^---$", made, maxsplit=2, flags=re.MULTILINE)
    rendered = RENDER(page)
    own = {"h1", "h2", "p", "strong", "code", "pre", "ul", "li", "img"}
    own |= {"table", "thead", "tbody", "tr", "th", "td"}
    assert set(re.findall(r"<([a-zA-Z!]\w*)", rendered)) <= own
    assert len(re.findall("<h2>", rendered)) == 7
    assert re.findall('<img[^>]*src="([^"]*)', rendered) == ["confusion.png"]
    # Some readers of Markdown show the front matter as text
    assert set(re.findall(r"<([a-zA-Z!]\w*)", RENDER(front))) <= own | {"em"}
