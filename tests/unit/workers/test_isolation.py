"""Work in a process of its own: its answers, its errors and its death come back as they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import Pipe

import pytest

from hpsearch.errors import StudyFileError, UnknownName, UserError
from hpsearch.study_file.diagnostics import Diagnostics, SourceLocation
from hpsearch.workers.launch import isolation
from hpsearch.workers.launch.isolation import run_isolated, stream_isolated

pytestmark = pytest.mark.timeout(1800)


def answer(text: str, *, variable: str) -> tuple[str, str | None, int]:
    return text.upper(), os.environ.get(variable), os.getpid()


def unknown_name() -> None:
    raise UnknownName("model", "mpl", ["mlp", "lenet5"])


def problems() -> None:
    report = Diagnostics()
    report.add(SourceLocation("x.yaml", line=3), "seed", "must be an integer")
    raise report.error()


def mistake_of_ours() -> None:
    raise ZeroDivisionError("one by none")


def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def imported() -> set[str]:
    return set(sys.modules)


def counts_and(then: str) -> Iterator[int]:
    yield 1
    yield 2
    if then == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if then == "hangs":
        time.sleep(600)
    yield 3


def test_an_answer_comes_back_from_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APART_TEST", "as set now")
    text, variable, pid = run_isolated(answer, "hello", variable="APART_TEST")
    assert (text, variable) == ("HELLO", "as set now")
    assert pid != os.getpid()


def test_it_begins_with_torch_and_without_what_few_need() -> None:
    """Every launch waits for these imports; scipy.stats alone takes most of a second."""
    modules = run_isolated(imported)
    assert {"torch", "optuna", "hpsearch.workers.worker"} <= modules
    assert modules.isdisjoint({"scipy.stats", "sklearn", "pandas", "plotly", "matplotlib.figure"})


def test_a_users_mistake_comes_back_as_it_was() -> None:
    with pytest.raises(UnknownName) as unknown:
        run_isolated(unknown_name)
    assert str(unknown.value) == str(UnknownName("model", "mpl", ["mlp", "lenet5"]))
    assert (unknown.value.kind, unknown.value.names) == ("model", ("lenet5", "mlp"))
    with pytest.raises(StudyFileError) as wrong:
        run_isolated(problems)
    assert [problem.key for problem in wrong.value.problems] == ["seed"]


def test_a_mistake_of_ours_comes_back_with_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError: one by none") as mistake:
        run_isolated(mistake_of_ours)
    assert "in mistake_of_ours" in str(mistake.value)


def test_a_death_is_told() -> None:
    with pytest.raises(UserError, match="that process died \\(signal 9; see the messages above\\)"):
        run_isolated(dies)


@pytest.mark.parametrize(
    ("then", "seconds", "expected"),
    [("ends", 60, [1, 2, 3]), ("dies", 60, [1, 2]), ("hangs", 8, [1, 2])],
)
def test_it_gets_as_far_as_it_gets(then: str, seconds: float, expected: list[int]) -> None:
    assert stream_isolated(counts_and, seconds, then) == expected


def test_where_the_command_was_killed_its_process_ends_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolation, "_settle_in", lambda environment: None)
    receiving, sending = Pipe(duplex=False)
    receiving.close()
    isolation._one_by_one(sending, {}, counts_and, ("ends",), {})
    isolation._once(sending, {}, str, (5,), {})


def test_a_launch_itself_needs_no_torch() -> None:
    code = (
        "import sys, hpsearch.cli.commands.launch, hpsearch.cli.terminal.live, "
        "hpsearch.workers.launch.preview, "
        "hpsearch.workers.launch.supervisor, hpsearch.results.summary, "
        "hpsearch.results.export.frozen; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
