"""The results as one Markdown page and one JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hpsearch
from benchmarks.gpu.runner import Answer
from hpsearch.results.markdown import plain, table

#: The version of the JSON's format.
FORMAT = 1


def write(folder: Path, answers: Sequence[Answer], *, device: str, quick: bool) -> list[Path]:
    """Write ``gpu.md`` and ``gpu.json`` into ``folder``, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / "gpu.md", folder / "gpu.json"
    page.write_text(markdown(answers, device=device, quick=quick), encoding="utf-8")
    content = {
        "format": FORMAT,
        "hpsearch": hpsearch.__version__,
        "device": device,
        "quick": quick,
        "parts": [asdict(answer) for answer in answers],
    }
    data.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return [page, data]


def markdown(answers: Iterable[Answer], *, device: str, quick: bool) -> str:
    """Return the page: one table of all parts, then each part's own."""
    answers = list(answers)
    lines = [f"# hpsearch {hpsearch.__version__} on {plain(device)}", ""]
    if quick:
        lines += ["A quick run: it shows that every part runs. Its figures mean nothing.", ""]
    overview = (
        {
            "part": answer.part,
            "verdict": answer.verdict,
            "result": answer.said,
            "seconds": answer.seconds,
        }
        for answer in answers
    )
    if answers:
        lines.append(_table(overview))
    for answer in answers:
        if answer.rows:
            lines += ["", f"## {answer.part}", "", _table(answer.rows)]
    return "\n".join(lines) + "\n"


def _table(rows: Iterable[dict[str, Any]]) -> str:
    rows = list(rows)
    columns = list(rows[0]) if rows else []
    return table(columns, ([_cell(row.get(name)) for name in columns] for row in rows))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
