"""What matplotlib draws for the report and the dashboard: plain letters, and always the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hpsearch import matplotlib_style as module
from hpsearch.matplotlib_style import (
    drawable,
    mpl_style,
    new_figure,
    other_fonts,
    printable,
    save,
)
from hpsearch.reporting.blocks import Chart
from hpsearch.reporting.matplotlib_charts import StaticChart, draw

CONTROL = "a\x00b\x1b[31m\ud800"


def chart(title: str) -> Chart:
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [1, 2],
        "y": [1, 2],
        "line": {"color": "var(--ink)"},
    }
    figure = {"data": [{**line, "name": title}], "layout": {"showlegend": True}}
    return Chart(name="c", title=title, description="d", figure=figure, height=300)


def file_of(kind: str) -> bytes:
    stream = BytesIO()
    with mpl_style({"font.size": 9}):
        figure = new_figure((2, 1))
        figure.suptitle("one $\\frac{")
        save(figure, stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_figure_is_the_same_file(kind: str) -> None:
    assert file_of(kind) == file_of(kind)


def test_a_matplotlibrc_of_the_current_folder_changes_no_figure() -> None:
    """Matplotlib takes it as the user's own; text.usetex would run LaTeX."""
    import matplotlib as mpl

    expected = file_of("svg")
    with mpl.rc_context({"text.usetex": True, "axes.facecolor": "red", "savefig.dpi": 7}):
        assert file_of("svg") == expected


def test_settings_are_put_back() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    file_of("svg")
    assert dict(mpl.rcParams) == before


def test_letters_that_xml_cant_hold_leave_the_file_whole(tmp_path: Path) -> None:
    assert printable(CONTROL) == "a\ufffdb\ufffd[31m\ufffd"
    assert printable("Größe 😀\n") == "Größe 😀\n"
    path = tmp_path / "plate.svg"
    StaticChart(anchor="a", name="c", figure=draw(chart(CONTROL))).save(path)
    ElementTree.parse(path)


@pytest.fixture
def fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Say which of matplotlib's fonts are asked for what DejaVu Sans lacks."""

    def install(*names: str) -> None:
        monkeypatch.setattr(module, "_OTHER_FONTS", ("No Such Font", *names))
        module.other_fonts.cache_clear()
        module._letters.cache_clear()

    yield install
    monkeypatch.undo()
    module.other_fonts.cache_clear()
    module._letters.cache_clear()


def test_letters_that_no_font_has_are_shown_by_number(
    fonts: Callable[..., None], tmp_path: Path
) -> None:
    fonts()
    assert drawable("Größe ± 日本 🐈\n") == r"Größe ± \u65e5\u672c \U0001f408" + "\n"
    plate = StaticChart(anchor="a", name="c", figure=draw(chart("日本")))
    plate.save(tmp_path / "c.png")  # matplotlib's warning of missing glyphs would be an error


def test_letters_of_another_font_that_is_installed_are_drawn(fonts: Callable[..., None]) -> None:
    only_there = "\u1d81"  # a letter of STIX that DejaVu Sans lacks
    fonts()
    assert drawable(only_there) != only_there
    fonts("STIXGeneral")
    assert other_fonts() == ("STIXGeneral",)
    assert drawable(only_there) == only_there
