from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.foreign_text import clean, clean_output, escape_json

GONE = "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    "sign",
    [
        *map(chr, [*range(9), *range(11, 32), *range(0x7F, 0xA0)]),  # C0, DEL, C1
        *map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x61C]),
        *map(chr, [0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xAD, 0x3164, 0xFE0F, 0xE0041]),
        *map(chr, [0x2028, 0x2029, 0xDC80, 0xFFF9, 0xFFFF]),
    ],
    ids=lambda sign: f"U+{ord(sign):04X}",
)
def test_what_steers_or_hides_is_replaced(sign):
    assert clean(f"ca{sign}t") == f"ca{GONE}t"
    assert json.loads(escape_json(json.dumps(f"ca{sign}t", ensure_ascii=False))) == f"ca{sign}t"
    assert sign not in escape_json(json.dumps(f"ca{sign}t", ensure_ascii=False))


@pytest.mark.parametrize(
    "text",
    [
        "two\tlines\nof text",
        "Käse, ½, 日本語, العربية, हिन्दी, ±2.28",
        "می\N{ZERO WIDTH NON-JOINER}خواهم",  # without it another word
        "👩\N{ZERO WIDTH JOINER}🚀 ❤\N{VARIATION SELECTOR-16} 1\N{VARIATION SELECTOR-16}\u20e3",
    ],
)
def test_what_people_write_stays(text):
    assert clean(text) == text
    assert clean_output(text) == text


@given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"]) | st.just("a")))
def test_no_control_or_format_character_is_left_beside_ascii(text):
    left = {unicodedata.category(sign) for sign in clean(f"a{text}b")} - {"Ll", "So"}
    assert left <= {"Cc", "Cf"}
    controls = {sign for sign in clean(f"a{text}b") if unicodedata.category(sign) == "Cc"}
    assert controls <= set("\t\n")


# Every character but halves of surrogate pairs; `st.text()` takes a second to list the same
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_cleaning_twice_is_cleaning_once(text):
    assert clean(clean(text)) == clean(text)
    assert len(clean(text)) == len(text)


def test_a_progress_bar_may_return_to_the_start_of_its_line():
    assert clean_output("\r50 %") == "\r50 %"
    assert clean("\r50 %") == f"{GONE}50 %"
