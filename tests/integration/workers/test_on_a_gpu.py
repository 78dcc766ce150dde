"""A whole search, its confirmation, its evaluation and its export, on a pretended GPU.

The workers' own code runs in this process (``support.trials``): a pretended GPU isn't seen by
others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.confirming import confirming
from support.pretended_gpu import PretendedGpu, pretended_gpu
from support.trials import IN_EPOCH_3, NO_CHECKPOINTS, ONE_TRIAL, STUDY, leave_after, open_small

from hpsearch.errors import DeviceUnusable
from hpsearch.results.confirmation.stored import latencies
from hpsearch.results.export.frozen import export_trial
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger.types import Idle
from hpsearch.training.registries import MODELS
from hpsearch.workers.confirmation import (
    ConfirmRequest,
    measure_latencies,
    prepare_confirmation,
)
from hpsearch.workers.trial import gpu_memory
from hpsearch.workers.trial.trial_run import run_trial
from hpsearch.workers.winner.exporting import load_trained
from hpsearch.workers.winner.final_evaluation import evaluate_winner

GPU = "cuda:0"


@pytest.fixture
def gpu() -> Iterator[PretendedGpu]:
    with pretended_gpu() as pretended:
        yield pretended


@pytest.fixture
def open_study(sqlite_template: Path, tmp_path: Path, data_root: Path):
    """Open a study in SQLite: where the database is is nothing to the device."""
    path = tmp_path / "hpsearch.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{path}")
    yield lambda *overrides, text=STUDY: open_small(
        database, tmp_path, data_root, *overrides, text=text
    )
    database.close()


def test_a_search_with_latency_ends(open_study, gpu) -> None:
    search = open_study(text=STUDY + "objectives: [val_accuracy, latency]\n")
    assert search.run_all(device=GPU) is Idle.FINISHED
    assert [each.state for each in search.tickets()] == ["complete"] * 3
    assert {row.user_attrs["device"] for row in search.trials()} == {"cuda:0 (NVIDIA Pretended)"}
    # What others may wait for isn't kept for trials to come
    assert gpu.cuda.emptied >= 3
    # `auto` is bf16 on such a GPU
    assert {row.user_attrs["precision"] for row in search.trials()} == {"bf16"}


def test_it_is_confirmed_evaluated_and_exported(open_study, gpu) -> None:
    search = open_study()
    search.run_all(device=GPU)
    asked = prepare_confirmation(
        search.database, search.record(), search.study, ConfirmRequest(top=2, seeds=2)
    )
    confirm = confirming(search)
    confirm.run_to_end(device=GPU)
    assert confirm.standing().finished
    assert all(confirm.predictions().values())
    measure_latencies(search.database, asked, device=GPU, data=search.data)
    assert latencies(search.database, confirm.record())

    frozen = export_trial(search.database, search.record(), search.study)
    exported = load_trained(frozen, runs=search.runs, data=search.data)
    assert exported.classifier.device == torch.device("cpu")
    there, here = (
        evaluate_winner(
            search.database,
            search.record(),
            search.study,
            runs=search.runs,
            device=each,
            data=search.data,
        )
        for each in (GPU, "cpu")
    )
    assert there.accuracy == pytest.approx(here.accuracy, abs=0.02)


@pytest.mark.parametrize(("first", "second"), [(GPU, GPU), (GPU, "cpu"), ("cpu", GPU)])
def test_a_paused_trial_goes_on_on_any_device(open_study, gpu, first, second) -> None:
    whole = open_study(ONE_TRIAL, "study=undisturbed", "precision=fp32")
    whole.run_all(device=first, checkpoint_seconds=NO_CHECKPOINTS)
    search = open_study(ONE_TRIAL, "precision=fp32")
    ticket = search.run_one(device=first, leave=leave_after(IN_EPOCH_3))
    assert ticket.state == "paused"
    assert search.run_one("two", device=second).state == "complete"
    ended, undisturbed = ([row[1] for row in each.figures()[1]] for each in (search, whole))
    # Another device draws other numbers for dropout in the rest of the epoch
    assert ended == (undisturbed if first == second else pytest.approx(undisturbed, rel=0.02))


def test_a_worker_whose_cuda_broke_writes_the_failure_and_leaves(
    open_study, gpu, monkeypatch
) -> None:
    """The next trial would fail, too, and the one after it: CUDA stays broken in a process."""
    search = open_study()

    def build(*_: object) -> torch.nn.Module:
        gpu.cuda.broken = True
        raise RuntimeError("CUDA error: device-side assert triggered")

    claim = search.claim()
    with monkeypatch.context() as patched, pytest.raises(DeviceUnusable):
        patched.setattr(MODELS, "build", build)
        run_trial(search.bench(device=GPU), claim)
    ticket = search.ticket(claim.ticket)
    assert ticket.failures == 1
    assert "device-side assert" in ticket.last_error
    # A new process has a CUDA that works
    gpu.cuda.broken = False
    assert search.run_all(device=GPU) is Idle.FINISHED
    assert [each.state for each in search.tickets()] == ["complete"] * 3


def test_a_trial_waits_for_memory_that_others_hold(open_study, gpu, monkeypatch) -> None:
    search = open_study(ONE_TRIAL)
    gpu.cuda.memory = (10**6, 80 * 10**9)

    def others_leave(_: float) -> None:
        gpu.cuda.memory = (80 * 10**9, 80 * 10**9)

    monkeypatch.setitem(gpu_memory.wait_for_memory.__kwdefaults__, "pause", others_leave)
    search.run_all(device=GPU)
    assert [each.detail["free_bytes"] for each in search.events("no_room")] == [10**6]


def test_out_of_memory_is_known_afterwards(open_study, gpu, monkeypatch) -> None:
    search = open_study(ONE_TRIAL)
    with monkeypatch.context() as patched:
        patched.setattr(
            "hpsearch.training.engine.ImageStore.batch",
            lambda *_: (_ for _ in ()).throw(
                torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0")
            ),
        )
        search.run_all(device=GPU)
    (row,) = search.trials()
    assert row.user_attrs["out_of_memory"].startswith("out of memory on cuda:0: at most 1,000 MB")
    assert row.user_attrs["memory_asked_mb"] == 2684.4
