from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.foreign_text import clean_output
from hpsearch.output_streams import (
    OutputLost,
    OutputStream,
    optional_output,
    require_output,
)


@pytest.fixture
def full():
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        yield stream


@pytest.fixture
def without_reader():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", encoding="utf-8") as stream:
        yield stream


def test_what_must_be_written_and_cant_be_is_an_error(full, monkeypatch):
    monkeypatch.setattr(sys, "stdout", OutputStream(full, required=True))
    print("a line")
    with pytest.raises(OutputLost, match=r"but that failed \(No space left on device\)") as raised:
        require_output()
    assert not raised.value.reader_left


def test_a_run_goes_on_without_its_output_and_says_so(full, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", OutputStream(full, required=True))
    with optional_output():
        for _ in range(3):
            print("x" * 10_000)
    require_output()
    told = capsys.readouterr().err
    assert told.count("warning: the output must be writable") == 1
    with pytest.raises(OutputLost):
        require_output(whole=True)


def test_nobody_has_to_be_told_that_he_left(without_reader, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", OutputStream(without_reader, required=True))
    with optional_output():
        print("x" * 10_000)
    require_output()
    assert capsys.readouterr().err == ""


def test_of_an_answer_it_is_known_that_the_reader_left(without_reader, monkeypatch):
    monkeypatch.setattr(sys, "stdout", OutputStream(without_reader, required=True))
    with pytest.raises(OutputLost) as raised:
        print("x" * 10_000)
    assert raised.value.reader_left


def test_what_others_print_is_filtered():
    below = io.StringIO()
    stream = OutputStream(below, required=False, filtered=clean_output)
    stream.writelines(iter(["\x1b]0;title\x07\n", "\r50 %\r", "\u202e"]))
    assert below.getvalue() == "\ufffd]0;title\ufffd\n\r50 %\r\ufffd"


CODE = """
import sys
from hpsearch.output_streams import replace_streams
replace_streams()
{work}
"""


def run(work: str, shell: str = "", **environment: str) -> bytes:
    command = f'exec "{sys.executable}" -c "$CODE" {shell}'
    return subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "CODE": CODE.format(work=work), **environment},
        stdout=subprocess.PIPE,
        check=True,
        timeout=240,
    ).stdout


def test_a_closed_stream_gives_its_place_to_no_file():
    work = "f = open('/dev/zero'); print('lost'); print(f.fileno(), file=sys.stderr)"
    told = run(work, "3>&1 >&- 2>&3 <&-")
    assert int(told) > 2


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("ascii", b"96.67 +/-2.28 e -> _#? \n"),
        ("latin-1", b"96.67 \xb12.28 \xe9 -> _#? \n"),
        ("utf-8", "96.67 ±2.28 é → ▁█日 \n".encode()),
    ],
)
def test_a_terminal_of_another_encoding_gets_what_it_can_show(encoding, told):
    work = "print('96.67 \\u00b12.28 \\u00e9 \\u2192 \\u2581\\u2588\\u65e5 ')"
    assert run(work, PYTHONIOENCODING=encoding) == told


def test_half_a_character_of_a_file_name_is_printed_somehow():
    assert run("print('a\\udce9b')") == b"a?b\n"
