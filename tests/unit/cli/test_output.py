from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from hpsearch import formatting
from hpsearch.cli.terminal import output


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(None, "-", id="unknown"),
        pytest.param(0.04, "0.04 s", id="a moment"),
        pytest.param(9.96, "10.0 s", id="below ten"),
        pytest.param(42.4, "42 s", id="seconds"),
        pytest.param(185.2, "3 min 05 s", id="minutes"),
        pytest.param(3599.6, "1 h 00 min", id="rounds up to an hour"),
        pytest.param(7800, "2 h 10 min", id="hours"),
        pytest.param(90_000 * 3, "3 d 3 h", id="days"),
    ],
)
def test_times(seconds, text):
    assert output.show_time(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (21_700, "21.7 kB"), (1.2e6, "1.2 MB"), (5e12, "5 TB")],
)
def test_sizes(size, text):
    assert output.show_bytes(size) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (True, "true"), (0.98263888, "0.98264"), (1e-5, "1e-05"), (3, "3"), ("a", "a")],
)
def test_values(value, text):
    assert output.show(value) == text


def test_a_curve_goes_from_low_to_high():
    assert output.sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert output.sparkline([]) == ""
    assert output.sparkline([0.3, 0.3]) == "▁▁"


def test_a_long_curve_keeps_both_ends():
    drawn = output.sparkline([float(epoch) for epoch in range(1000)])
    assert len(drawn) == 60
    assert (drawn[0], drawn[-1]) == ("▁", "█")


def test_a_table_without_a_terminal_is_plain_text(capsys):
    rows = [("a[bold]b", 0.123456789, None), ("x" * 300, 12, "\x1b[31mred")]
    output.table(("name", "value", "rest"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "name" + " " * 296 + "    value  rest",
        "a[bold]b" + " " * 292 + "  0.12346  -",
        "x" * 300 + "       12  \N{REPLACEMENT CHARACTER}[31mred",
    ]


def test_text_of_others_is_no_markup(capsys):
    output.say("[red]poison[/red] :smile: [link=x]y[/link]")
    assert capsys.readouterr().out == "[red]poison[/red] :smile: [link=x]y[/link]\n"


def test_json_holds_no_nan(capsys):
    output.print_json({"a": float("nan"), "b": [float("inf"), 1.5]})
    assert capsys.readouterr().out == '{\n  "a": null,\n  "b": [\n    null,\n    1.5\n  ]\n}\n'


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        pytest.param(
            "at postgresql+psycopg://me:a:b@c@db:5432/x now",
            "at postgresql+psycopg://me:***@db:5432/x now",
            id="a password with signs in it",
        ),
        pytest.param("sqlite:///a.db", "sqlite:///a.db", id="no password"),
        pytest.param("http://localhost:8080/", "http://localhost:8080/", id="a port"),
    ],
)
def test_passwords_are_hidden(text, masked):
    assert output.mask_urls(text) == masked


def test_plurals():
    assert formatting.count_noun(1, "thread") == "1 thread"
    assert formatting.count_noun(1200, "epoch") == "1,200 epochs"


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Print a table on a terminal of some columns, and return its lines."""
    from rich.console import Console

    def printed(columns: tuple[str, ...], rows: list[tuple[object, ...]], width: int) -> list[str]:
        file = io.StringIO()
        terminal = Console(file=file, width=width, force_terminal=True, color_system=None)
        monkeypatch.setattr(output, "console", lambda: terminal)
        output.table(columns, rows)
        return [line.rstrip() for line in file.getvalue().splitlines()]

    return printed


ROW = (1, 11, "complete", 0.99306, 9, "0.8 s", "model=mlp  optimizer.sgd.lr=0.018534")
COLUMNS = ("rank", "trial", "state", "val_accuracy", "epochs", "time", "parameters")


@pytest.mark.parametrize("width", [75, 80, 120])
def test_a_narrow_table_wraps_between_words_alone(
    narrow: Callable[..., list[str]], width: int
) -> None:
    lines = narrow(COLUMNS, [ROW], width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    whole = {"complete", "0.99306", "model=mlp", "optimizer.sgd.lr=0.018534", "parameters"}
    assert whole <= set(words)


def test_a_table_with_room_is_left_as_it_is(narrow: Callable[..., list[str]]) -> None:
    head, rule, row = (line for line in narrow(COLUMNS, [ROW], 200) if line)
    assert "val_accuracy" in head
    assert "model=mlp  optimizer.sgd.lr=0.018534" in row
    assert set(rule.strip()) == {"─"}


def test_where_not_even_words_fit_nothing_is_lost(narrow: Callable[..., list[str]]) -> None:
    lines = narrow(COLUMNS, [ROW], 50)
    assert max(map(len, lines)) <= 50
    last = "".join(line.split()[-1] for line in lines if line)
    assert "0.018534" in last


def test_a_value_with_line_breaks_stays_on_its_line(capsys):
    """Or it could pass for a line of our own."""
    forged = "none\nbest: trial 9\tval_accuracy 99.99 %"
    output.say(output.show_params({"group": forged}))
    output.table(("parameter", "value"), [("group", forged)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        r"group=none\nbest:", "parameter", "group",
    ]  # fmt: skip
    assert all(r"trial 9\tval_accuracy" in line for line in (lines[0], lines[2]))
