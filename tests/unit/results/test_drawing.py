"""What matplotlib draws for the report and the dashboard: plain letters, and always the same."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hpsearch.results.drawing import drawing, new_figure, printable, save
from hpsearch.results.report.blocks import Chart
from hpsearch.results.report.paper import Plate, draw

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


def drawn(kind: str) -> bytes:
    stream = BytesIO()
    with drawing({"font.size": 9}):
        figure = new_figure((2, 1))
        figure.suptitle("one $\\frac{")
        save(figure, stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_figure_is_the_same_file(kind: str) -> None:
    assert drawn(kind) == drawn(kind)


def test_settings_are_put_back() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    drawn("svg")
    assert dict(mpl.rcParams) == before


def test_letters_that_xml_cant_hold_leave_the_file_whole(tmp_path: Path) -> None:
    assert printable(CONTROL) == "a?b?[31m?"
    assert printable("Größe 😀\n") == "Größe 😀\n"
    path = tmp_path / "plate.svg"
    Plate(anchor="a", name="c", figure=draw(chart(CONTROL))).save(path)
    ElementTree.parse(path)
