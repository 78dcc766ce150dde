"""The processes of the parts, their limits and results.

If a part raises, dies, hangs or takes too long, that is its result, and the next one begins.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import FETCH, Part
from benchmarks.gpu.settings import Settings

#: Seconds that a part has, after SIGTERM, to end the processes that it started.
LEAVE_SECONDS = 3.0

#: How much longer the parts of a quick run, which may run on a busy machine, may take.
QUICK_PATIENCE = 3.0

#: Most characters of a failed part's output that are kept.
_KEPT = 2000


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The result of one part."""

    part: str
    #: ``ok``, ``wrong`` or ``measured`` (see ``settings.Verdict``); ``failed`` if it raised or
    #: died; ``out of time``; ``not begun`` if no time was left.
    verdict: str
    said: str
    seconds: float
    rows: list[dict[str, Any]] = field(default_factory=list)
    #: The end of the process's output, if it gave no answer.
    output: str = ""


def run_parts(
    parts: Iterable[Part],
    *,
    settings: Settings,
    seconds: float,
    heed: Callable[[list[Answer]], None],
) -> list[Answer]:
    """Run one part after the other, and return their answers.

    Args:
        parts: What to run. If one is ``FETCH`` and isn't ok, the others use digits.
        settings: How to run them.
        seconds: Seconds after which no part begins any more, and a running one is ended.
        heed: Called with all answers so far after each part.
    """
    answers: list[Answer] = []
    deadline = time.monotonic() + seconds
    for part in parts:
        left = deadline - time.monotonic()
        if left <= 0:
            answer = Answer(part=part.name, verdict="not begun", said="no time left", seconds=0.0)
        else:
            limit = part.seconds * (QUICK_PATIENCE if settings.quick else 1.0)
            answer = _run(part, settings, limit=min(limit, left))
        if part is FETCH and answer.verdict != "ok":
            settings = replace(settings, fashion=False)
        answers.append(answer)
        heed(answers)
    return answers


def _run(part: Part, settings: Settings, *, limit: float) -> Answer:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        written, output = Path(place) / "answer.json", Path(place) / "output.txt"
        request = {"module": part.module, "to": str(written), "settings": asdict(settings)}
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.gpu.runner", json.dumps(request)],
                stdout=file,
                stderr=file,
                # So that its workers are ended with it
                start_new_session=True,
            )
            try:
                process.wait(timeout=limit)
                late = False
            except subprocess.TimeoutExpired:
                late = True
            finally:
                _end(process)
        took = round(time.monotonic() - began, 1)
        with suppress(OSError, ValueError):
            finding: Mapping[str, Any] = json.loads(written.read_text())
            return Answer(part=part.name, seconds=took, **finding)
        text = output.read_text(errors="replace").strip()[-_KEPT:]
    if late:
        return Answer(
            part=part.name,
            verdict="out of time",
            said=f"ended after {limit:.0f} s; it said last: {_last_line(text)}",
            seconds=took,
            output=text,
        )
    return Answer(
        part=part.name,
        verdict="failed",
        said=f"exit code {process.returncode}: {_last_line(text)}",
        seconds=took,
        output=text,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and those that it started, first with SIGTERM, then with SIGKILL."""
    for number, patience in ((signal.SIGTERM, LEAVE_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience)


def _last_line(text: str) -> str:
    return text.splitlines()[-1] if text else "nothing"


def answer_here(request: Mapping[str, Any]) -> None:
    """Run a part in its process, and write its answer."""
    measure = importlib.import_module(request["module"]).measure
    finding = measure(Settings(**request["settings"]))
    Path(request["to"]).write_text(json.dumps(asdict(finding), default=str))


if __name__ == "__main__":
    answer_here(json.loads(sys.argv[1]))
