"""``make gpu``: every part runs on the CPU or on a pretended GPU, and none takes others along."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from operator import truediv
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.pretended_gpu import PretendedGpu, pretended_gpu
from support.processes import _without_main_module
from torch import Tensor, nn
from torch.optim import SGD

from benchmarks import loops, turns
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import (
    machine,
    parity,
    precision,
    resume,
    runner,
    shortage,
    speed,
    table,
    workers,
)
from benchmarks.gpu.configs import gray, trial
from benchmarks.gpu.parts import FETCH, PARTS, Part
from benchmarks.gpu.runner import Answer, run_parts
from benchmarks.gpu.settings import Settings
from hpsearch.registry import Component
from hpsearch.training.registries import MODELS
from hpsearch.workers.launch.fork_server import start_fork_server

CPU = Settings(device="cpu", quick=True)
GPU = Settings(device="cuda:0", quick=True)


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path_factory) -> Iterator[None]:
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))  # a plug-in comes and goes
    monkeypatch.setenv("HPSEARCH_DATA", str(tmp_path_factory.getbasetemp() / "gpu-data"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def gpu() -> Iterator[PretendedGpu]:
    with pretended_gpu() as pretended:
        yield pretended


class TestParts:
    @pytest.mark.parametrize("part", [machine, parity, resume, precision])
    def test_on_a_pretended_gpu(self, gpu, part) -> None:
        finding = part.measure(GPU)

        assert finding.verdict in ("ok", "measured"), finding
        assert finding.said
        assert finding.rows

    def test_parity_on_the_cpu_is_exact(self) -> None:
        finding = parity.measure(CPU)

        assert finding.verdict == "ok"
        assert {row["first loss differs by"] for row in finding.rows} == {0.0}

    def test_a_device_that_learns_less_is_found(self, monkeypatch) -> None:
        whole = parity._trained

        def worse(config, device):
            results = whole(config, device)
            if config.precision == "auto":
                results[-1] = type(results[-1])(**{**vars(results[-1]), "val_accuracy": 0.0})
            return results

        monkeypatch.setattr(parity, "_trained", worse)
        assert parity.measure(CPU).verdict == "wrong"

    def test_a_resume_on_the_cpu_is_bit_exact(self) -> None:
        finding = resume.measure(CPU)

        assert finding.verdict == "ok"
        assert "interrupted and resumed: bit-exact" in finding.said

    def test_a_resume_that_lost_the_optimizer_is_found(self, monkeypatch) -> None:
        whole = resume._interrupted

        def forgetful(config, device):
            state = dict(whole(config, device))
            state["optimizer"] = {**state["optimizer"], "state": {}}
            return state

        monkeypatch.setattr(resume, "_interrupted", forgetful)
        assert resume.measure(CPU).verdict == "wrong"

    def test_a_rule_that_chooses_wrong_is_charged(self, monkeypatch) -> None:
        monkeypatch.setattr(precision, "speed_up", lambda *_, **__: 3.0)
        (row,) = precision.measure(CPU).rows
        assert (row["the rule"], row["it costs, %"]) == ("fp32", 200)

    def test_memory_that_runs_out_becomes_knowledge(self) -> None:
        finding = shortage.measure(CPU)

        assert finding.verdict == "ok", finding
        assert finding.rows[0]["the study says"].startswith("out of memory on cpu")

    @pytest.mark.parametrize(
        ("reason", "told", "tickets", "wrong"),
        [
            ("finished", "out of memory on cuda:0: ...", [("failed", 2), ("complete", 0)], []),
            ("failed", "out of memory on cuda:0", [("failed", 2), ("complete", 0)], ["the launch"]),
            ("finished", "", [("complete", 0), ("complete", 0)], ["the trial isn't", "it had 0"]),
            ("finished", "out of memory on cuda:0", [("failed", 2), ("failed", 3)], ["of the"]),
        ],
    )
    def test_a_shortage_that_is_not_met_as_it_should_be(self, reason, told, tickets, wrong) -> None:
        made = [SimpleNamespace(state=state, failures=count) for state, count in tickets]
        found = shortage.faults(reason, told, made)
        assert len(found) == len(wrong)
        assert all(one.startswith(begin) for one, begin in zip(found, wrong, strict=True))

    def test_workers_are_counted(self) -> None:
        finding = workers.measure(CPU)

        assert finding.verdict == "measured"
        assert [row["workers"] for row in finding.rows[:2]] == ["1", "2"]
        assert all(row["epochs a second"] > 0 for row in finding.rows[:2])
        assert finding.rows[2]["workers"].startswith("auto: 1 at 0 s")

    @pytest.mark.parametrize("loop", ["reports", "bare", "hpsearch"])
    def test_every_loop_trains_on_a_pretended_gpu(self, gpu, loop) -> None:
        config = trial(gray(GPU), model=Component("simple_cnn"), epochs=10, batch_size=64)
        before = gpu.operations
        accuracies = list(islice(speed.LOOPS[loop](config, GPU.device), 2))
        assert all(0 <= each <= 1 for each in accuracies)
        assert gpu.operations > before + 100

    def test_a_graph_does_on_other_images_what_a_plain_step_does(self, gpu) -> None:
        def learner(state: dict[str, Tensor] | None = None) -> tuple[nn.Module, SGD]:
            torch.manual_seed(0)
            model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).to(GPU.device)
            if state is not None:
                model.load_state_dict(state)
            return model, SGD(model.parameters(), lr=0.1, fused=True)

        def batch() -> tuple[Tensor, Tensor]:
            return torch.randn(8, 1, 4, 4).to(GPU.device), torch.randint(3, (8,)).to(GPU.device)

        graphed, first, other = learner(), batch(), batch()
        step = loops._graph_step(*graphed, "fp32", GPU.where)
        step(*first)
        # The last step before the graph's first; another learner goes on from there
        before = {name: each.cpu().clone() for name, each in graphed[0].state_dict().items()}
        plain = learner(before)
        step(*other)
        loops.plain_step(*plain, "fp32", GPU.where)(*other)

        ended, expected = (each.state_dict()["1.weight"].cpu() for each, _ in (graphed, plain))
        assert not torch.equal(ended, before["1.weight"])
        torch.testing.assert_close(ended, expected)

    def test_every_bare_loop_learns(self, gpu) -> None:
        config = trial(gray(GPU), model=Component("mlp"), epochs=10, batch_size=64)
        for loop in (loops.graph_epochs, loops.bare_epochs):
            *_, accuracy = islice(loop(config, GPU.device), 8)
            assert accuracy > 0.6

    def test_a_loop_that_dies_leaves_its_column_empty(self, monkeypatch) -> None:
        context = start_fork_server()  # it has imported torch
        monkeypatch.setattr(turns.multiprocessing, "get_context", lambda _: context)
        loops_of_two = {"bare": loops.bare_epochs, "CUDA graphs": loops.graph_epochs}
        # It can't divide a configuration
        monkeypatch.setattr(speed, "LOOPS", {"reports": truediv, **loops_of_two})
        with _without_main_module():
            found = speed.seconds_of(
                trial(gray(CPU), model=Component("mlp"), epochs=10, batch_size=64), CPU
            )
        assert found["bare"]
        assert (found["reports"], found["CUDA graphs"]) == (None, None)


MODULE = """
import os, subprocess, sys, time
from pathlib import Path
from types import SimpleNamespace
from dataclasses import dataclass

@dataclass
class Finding:
    verdict: str
    said: str
    rows: list

def measure(settings):
    {does}
"""

DOES = {
    "good": "return Finding('ok', f'well on {settings.device}', [{'a': 1.5, 'b | c': None}])",
    "tells": "return Finding('ok', f'fashion: {settings.fashion}', [])",
    "raises": "raise RuntimeError('poison')",
    "dies": "os.kill(os.getpid(), 9)",
    "hangs": (
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "Path('child.pid').write_text(str(child.pid)); print('begun', flush=True); time.sleep(600)"
    ),
}


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a part whose process does one of ``DOES``."""
    monkeypatch.syspath_prepend(str(tmp_path))
    root = str(Path(__file__).parents[3])
    monkeypatch.setenv("PYTHONPATH", f"{root}:{tmp_path}")
    monkeypatch.chdir(tmp_path)

    def make(name: str, seconds: float = 60) -> Part:
        module = f"part_{name}"
        (tmp_path / f"{module}.py").write_text(
            textwrap.dedent(MODULE).replace("{does}", DOES[name])
        )
        return Part(name=name, asks="?", module=module, seconds=seconds)

    return make


def answered(parts: list[Part], seconds: float = 300) -> tuple[list[Answer], list[int]]:
    heard: list[int] = []
    found = run_parts(
        parts,
        settings=CPU,
        seconds=seconds,
        heed=lambda answers: heard.append(len(answers)),
    )
    return found, heard


class TestRunner:
    def test_what_goes_wrong_in_one_part_is_told_and_the_others_go_on(self, part) -> None:
        found, heard = answered([part("raises"), part("dies"), part("good")])

        assert [each.verdict for each in found] == ["failed", "failed", "ok"]
        assert found[0].said == "exit code 1: RuntimeError: poison"
        assert "Traceback" in found[0].output
        assert found[1].said == "exit code -9: nothing"
        assert (found[2].said, found[2].rows) == ("well on cpu", [{"a": 1.5, "b | c": None}])
        assert heard == [1, 2, 3]

    def test_a_part_that_hangs_is_ended_with_all_that_it_started(self, part, tmp_path) -> None:
        found, _ = answered([part("hangs", seconds=3), part("good")])

        assert [each.verdict for each in found] == ["out of time", "ok"]
        assert found[0].said == "ended after 9 s; it said last: begun"
        child = int((tmp_path / "child.pid").read_text())
        status = Path(f"/proc/{child}/status")
        assert not status.exists() or "zombie" in status.read_text()

    def test_without_a_download_the_others_take_digits(self, part, monkeypatch) -> None:
        fetch = replace(part("raises"), name="fetch")
        monkeypatch.setattr(runner, "FETCH", fetch)
        found, _ = answered([fetch, part("tells")])
        assert [each.said for each in found][1:] == ["fashion: False"]

    def test_no_part_begins_when_the_time_is_over(self, part) -> None:
        found, _ = answered([part("good"), part("good")], seconds=0)

        assert [each.verdict for each in found] == ["not begun"] * 2


class TestCommand:
    def test_without_a_gpu_it_says_what_it_would_do(self, monkeypatch, capsys, tmp_path) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert command.main([]) == 0
        told = capsys.readouterr().out
        assert all(f"  {part.name} " in told for part in PARTS)
        assert not list(tmp_path.iterdir())

    def test_all_parts_together_fit_the_time(self) -> None:
        assert sum(part.seconds for part in (FETCH, *PARTS)) <= 60 * command.MINUTES
        assert len({part.name for part in PARTS}) == len(PARTS)

    def test_the_table_is_written_and_a_wrong_part_is_the_exit_code(
        self, part, monkeypatch, capsys, tmp_path
    ) -> None:
        monkeypatch.setattr(command, "PARTS", (part("raises"), part("good")))
        out = tmp_path / "table"
        cpu = ["--device", "cpu", "--quick", "--out", str(out)]
        assert command.main([*cpu, "--only", "good"]) == 0
        assert command.main(cpu) == 1
        written = json.loads((out / "gpu.json").read_text())
        assert [each["verdict"] for each in written["parts"]] == ["failed", "ok"]
        page = (out / "gpu.md").read_text()
        assert "| good | ok | well on cpu |" in page
        assert "| a | b \\| c |\n| --- | --- |\n| 1.5 | - |" in page
        # A traceback names the folders of whoever ran it
        assert "Traceback" not in page

    def test_an_unknown_part_is_named(self, capsys) -> None:
        with pytest.raises(SystemExit) as ended:
            command.main(["--only", "machine,nonsense"])
        assert ended.value.code == 2
        assert "no part is called nonsense" in capsys.readouterr().err


def test_the_page_says_that_a_quick_run_means_nothing() -> None:
    assert "Its figures mean nothing" in table.markdown([], device="cpu", quick=True)
