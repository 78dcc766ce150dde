"""How often "where" stands for "if" or "when", and a few verbs for the plain one.

Three kinds of text are counted: the pages, the docstrings, and the messages, which are the string
literals of the product with four words or more.

A conditional "where" ("returns None where there is none") has to be decoded by who reads English as
a second language. The count is that of every "where" but the ones that ``OF_A_PLACE`` leaves out: a
relative clause or an indirect question about a place ("the folder where it is", "shows where it
stands", "from where", "where to put it"). Code is left out, too. So a count of zero is possible,
but a rare true one of a place is counted ("Where images come from."); the bounds leave room for it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hpsearch

ROOT = Path(hpsearch.__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

#: A "where" that is no condition, by the word before it or after it.
OF_A_PLACE = re.compile(
    r"\b(?:places?|points?|positions?|folders?|files?|paths?|hosts?|machines?|threads?|lines?"
    r"|epochs?|steps?|rungs?|code|columns?|rows?|from|to|of|know|shows?|says?|sees?|tells?|records?"
    r"|describes?|finds?|is)\s+where\b|\bwhere\s+to\b",
    re.IGNORECASE,
)
WHERE = re.compile(r"\bwhere\b", re.IGNORECASE)

#: Conditional ones in 1,000 words.
IN_A_PAGE = 2.0
IN_ALL_PAGES = 0.2
IN_DOCSTRINGS = 0.5
IN_MESSAGES = 0.6

#: Words that have a plainer one: shows, is, contains, continues, is in, again, no worker.
REPLACED = re.compile(
    r"\b(?:tells?|told|c[ao]mes? to|holds?|held|stands?|stood|go(?:es)? on|lies?|lay|anew"
    r"|nobody|somebody)\b",
    re.IGNORECASE,
)
#: Such words in 1,000 words of messages. The phrase "min < max must hold" is counted, and stays.
REPLACED_IN_MESSAGES = 0.5


def conditional(text: str) -> int:
    """Return how many "where" of ``text`` are conditions."""
    return len(WHERE.findall(OF_A_PLACE.sub(" ", text)))


def prose(page: str) -> str:
    """Return a Markdown page without its code."""
    page = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"^ {4,}\S.*$|`[^`\n]*`", "", page, flags=re.MULTILINE)


def docstrings() -> Iterator[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for path in sorted((ROOT / "hpsearch").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, documented):
                yield re.sub(r"`+[^`]*`+", "", ast.get_docstring(node) or "")


def message(node: ast.Constant | ast.JoinedStr) -> str:
    """Return the words of a string literal, without what an f-string puts in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return " ".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))


def literals(tree: ast.AST) -> Iterator[str]:
    """Yield the string literals of a module but its docstrings and other statements of a string."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr):
            yield message(node)
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
            yield from literals(node) if not isinstance(node, ast.JoinedStr) else inside(node)


def inside(node: ast.JoinedStr) -> Iterator[str]:
    """Yield the literals in the expressions of an f-string."""
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            yield from literals(part)


def messages() -> Iterator[str]:
    for path in sorted((ROOT / "hpsearch").rglob("*.py")):
        for text in literals(ast.parse(path.read_text(encoding="utf-8"))):
            if len(re.findall(r"[A-Za-z']{2,}", text)) >= 4:
                yield text


def replaced(text: str) -> int:
    """Return how many words of ``text`` have a plainer one."""
    return len(REPLACED.findall(text))


def per_thousand_words(texts: list[str], count: Callable[[str], int] = conditional) -> float:
    words = sum(len(text.split()) for text in texts)
    return 1000 * sum(map(count, texts)) / words


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Returns ``None`` where there is none.", 1),
        ("Where a study has several objectives, the front.", 1),
        ("x where positive, y elsewhere", 1),
        ("the folder where it is, from where it came, where to put it, shows where it is", 0),
        ("If a study has several objectives, the front; when it ends, the rest.", 0),
    ],
)
def test_what_is_counted(text, count):
    assert conditional(text) == count


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_says_if_and_when(page):
    text = prose(page.read_text(encoding="utf-8"))
    assert per_thousand_words([text]) <= IN_A_PAGE


def test_the_pages_say_if_and_when():
    texts = [prose(page.read_text(encoding="utf-8")) for page in PAGES]
    assert len(texts) > 15
    assert per_thousand_words(texts) <= IN_ALL_PAGES


def test_docstrings_say_where_of_places():
    texts = list(docstrings())
    assert sum(len(text.split()) for text in texts) > 10_000
    assert per_thousand_words(texts) <= IN_DOCSTRINGS


def test_messages_are_the_literals_of_a_module():
    source = '''
"""A docstring of a module that isn't a message."""
def f(where):
    """Nor is the docstring of this function."""
    raise ValueError(f"the file {where} must hold a " f"table, but {'it has none of these'}")
'''
    found = list(literals(ast.parse(source)))
    assert found == ["the file   must hold a table, but ", "it has none of these"]
    assert sum(map(replaced, found)) == 1


def test_messages_are_in_plain_english():
    texts = list(messages())
    assert sum(len(text.split()) for text in texts) > 10_000
    assert per_thousand_words(texts) <= IN_MESSAGES
    assert per_thousand_words(texts, replaced) <= REPLACED_IN_MESSAGES
