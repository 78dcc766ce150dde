"""The cost that is told before a launch, measured on real batches."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hpsearch.errors import DataError, TrainingDiverged
from hpsearch.metrics import EpochEnd
from hpsearch.study_file.study import StudyFile
from hpsearch.training.engine import train
from hpsearch.training.registries import MODELS
from hpsearch.workers.launch import estimate as module
from hpsearch.workers.launch import preview, probe
from hpsearch.workers.launch.estimate import BYTES_PER_PARAMETER, sample, timings
from hpsearch.workers.run_config import RunConfig
from hpsearch.workers.trial.run_folder import KEPT_CHECKPOINTS

pytestmark = pytest.mark.usefixtures("two_threads")

#: Parameters of the larger of the two nets.
LARGEST = 64 * 16 + 16 + 16 * 10 + 10


def estimate(study: StudyFile, data: Path) -> tuple[list[float], int]:
    """Return the seconds per epoch that are known, and the bytes of a trial's checkpoints."""
    sampled = sample(study, device="cpu", threads=1, data=data)
    timed = timings(pickle.dumps(sampled.build_plans), study.plugins, data)
    epochs = [timing.typical_epoch for timing in timed if timing is not None]
    return epochs, sampled.checkpoint_bytes


def test_it_is_positive_and_leaves_torch_as_it_was(
    load: Callable[..., StudyFile], data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def watched(*args: object, **options: object) -> object:
        threads.append(torch.get_num_threads())
        return train(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "train", watched)
    rate = torch.random.get_rng_state()
    seconds, size = estimate(load("seed=2"), data_root)

    assert len(seconds) == module.SAMPLES
    assert all(number > 0 for number in seconds)
    assert size == LARGEST * BYTES_PER_PARAMETER * KEPT_CHECKPOINTS
    assert threads == [1] * module.SAMPLES
    assert torch.get_num_threads() == 2
    assert torch.random.get_rng_state().equal(rate)


def test_an_average_of_the_weights_takes_room_on_the_disk(
    load: Callable[..., StudyFile], data_root: Path
) -> None:
    plain, averaged = (
        sample(load(*changes), device="cpu", threads=1, data=data_root).checkpoint_bytes
        for changes in ((), ("evaluate=ema",))
    )
    assert averaged - plain == LARGEST * 4 * KEPT_CHECKPOINTS


def test_folds_cost_as_many_times(
    load: Callable[..., StudyFile], data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, folds = load(), load("data.folds=4", "batch_size=2")
    assert sample(folds, device="cpu", threads=1, data=data_root).rounds == 4
    # From a part of an epoch the rest is reckoned: 75 batches of each fold
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.05)
    monkeypatch.setattr(module, "SAMPLES", 1)
    _slowly(monkeypatch)
    (seconds,), size = estimate(folds, data_root)
    # .. and a third as many images are validated on, each at a third of a training step's cost
    assert seconds == pytest.approx(4 * 75 * 0.02 * (1 + 50 / 150 / 3))
    assert size == 4 * estimate(plain, data_root)[1]


def _slowly(monkeypatch: pytest.MonkeyPatch, warm_up: float = 0.0) -> list[None]:
    """Let a batch take 0.02 s on a clock of its own; returns a list that grows with the batches."""
    calls: list[None] = []
    now = 1000.0

    def slow_train(*args: object, **options: object) -> object:
        should_stop = options["should_stop"]

        def stop() -> bool:
            nonlocal now
            if len(calls) == 1:
                now += warm_up
            if calls:
                now += 0.02  # a batch
            calls.append(None)
            return should_stop()  # type: ignore[operator, no-any-return]

        return train(*args, **{**options, "should_stop": stop})  # type: ignore[arg-type]

    clock = SimpleNamespace(perf_counter=lambda: now, process_time=lambda: now)
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "train", slow_train)
    return calls


def test_the_same_study_tries_the_same_configurations(
    load: Callable[..., StudyFile], data_root: Path
) -> None:
    def tried(study: StudyFile) -> list[object]:
        blueprints = module._draw_build_plans(study, device="cpu", threads=1, data=data_root)
        return [(blueprint.config.model, blueprint.config.optimizer) for blueprint in blueprints]

    assert tried(load()) == tried(load())
    assert tried(load()) != tried(load("seed=6"))
    assert len(tried(load())) == module.SAMPLES


def test_try_first_is_tried_first(load: Callable[..., StudyFile], data_root: Path) -> None:
    study = load("try_first=[{optimizer: {sgd: {lr: 0.125}}}]")
    first, *others = module._draw_build_plans(study, device="cpu", threads=1, data=data_root)
    assert first.config.optimizer.settings["lr"] == 0.125
    assert all(blueprint.config.optimizer.settings["lr"] != 0.125 for blueprint in others)


def test_a_long_epoch_is_timed_by_its_first_batches(
    load: Callable[..., StudyFile], data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten of a hundred batches within the time: an epoch takes ten times as long."""
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.05)
    monkeypatch.setattr(module, "SAMPLES", 1)
    calls = _slowly(monkeypatch)
    # 160 training images in batches of 2
    (seconds,), _ = estimate(load("batch_size=2"), data_root)
    assert len(calls) == 5, "before the first batch and after it, and three more in 0.05 s"
    assert seconds == pytest.approx(80 * 0.02 * (1 + 40 / 160 / 3))


def test_a_slow_first_batch_says_nothing_of_the_others(
    load: Callable[..., StudyFile], data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory and threads are made in it; by it alone a minute's study would take hours."""
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(module, "SAMPLES", 1)
    _slowly(monkeypatch, warm_up=5.0)
    (seconds,), _ = estimate(load("batch_size=2"), data_root)
    assert seconds == pytest.approx(80 * 0.02 * (1 + 40 / 160 / 3)), "and not 80 * 5 s"


def test_nothing_that_can_be_built_gives_no_estimate(
    load: Callable[..., StudyFile], data_root: Path
) -> None:
    study = load("model={dilated_cnn: {conv1: {kernel_size: {min: 9, max: 12}}}}")
    assert estimate(study, data_root) == ([], 0)


def test_infeasible_draws_are_passed_over(load: Callable[..., StudyFile], data_root: Path) -> None:
    # Kernels beyond 5 leave too little of 8 pixels: five of twenty draws can be built.
    study = load(
        "model={dilated_cnn: {conv1: {kernel_size: {min: 1, max: 20}}, conv2: {kernel_size: 1}}}"
    )
    blueprints = list(module._draw_build_plans(study, device="cpu", threads=1, data=data_root))
    assert len(blueprints) == module.SAMPLES
    assert len(estimate(study, data_root)[0]) == module.SAMPLES


def test_what_diverges_at_once_gives_no_estimate(
    load: Callable[..., StudyFile], data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(*args: object, **options: object) -> EpochEnd:
        raise TrainingDiverged("the training loss must stay a finite number")

    monkeypatch.setattr(module, "train", diverging)
    seconds, size = estimate(load(), data_root)
    assert seconds == []
    assert size > 0


def test_a_frozen_config_is_timed_once(frozen: Callable[..., StudyFile], data_root: Path) -> None:
    assert (
        len(list(module._draw_build_plans(frozen(), device="cpu", threads=1, data=data_root))) == 1
    )


def test_missing_data_is_said_and_torch_left_as_it_was(
    load: Callable[..., StudyFile], tmp_path: Path
) -> None:
    no_folder = tmp_path / "file"
    no_folder.touch()
    with pytest.raises(DataError, match="prepared images are written under"):
        estimate(load(), no_folder)
    assert torch.get_num_threads() == 2


#: A model that kills or hangs the process that trains it; only its description is harmless.
DEADLY = """
import os
import signal
import time

import torch
from torch import nn

from hpsearch.training.registries import MODELS


class Deadly(nn.Module):
    def __init__(self, pixels, classes, does):
        super().__init__()
        self.out = nn.Linear(pixels, classes)
        self.does = does

    def forward(self, images):
        if images.device.type != "meta":
            if self.does == "die":
                os.kill(os.getpid(), signal.SIGSEGV)
            if self.does == "raise":
                raise RuntimeError("poison")
            if self.does == "hang":
                time.sleep(600)
        return self.out(images.flatten(1))


@MODELS.register("deadly")
def deadly(shape, classes, /, *, does: str = "learn"):
    "A dense net that goes wrong."
    return Deadly(shape[0] * shape[1] * shape[2], classes, does)
"""


@pytest.mark.parametrize(("does", "count"), [("die", 0), ("hang", 0), ("raise", 2)])
def test_what_kills_its_process_costs_only_the_estimate(
    load: Callable[..., StudyFile],
    data_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    does: str,
    count: int,
) -> None:
    plugin = tmp_path / f"deadly_{does}.py"
    plugin.write_text(DEADLY)
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    monkeypatch.setattr(probe, "TIMING_SECONDS", 60 if does != "hang" else 15)
    study = load(
        f"plugins=[{plugin}]",
        "model={deadly: {does: {values: [learn, " + does + "]}}}",
        "try_first=[{model: {deadly: {does: " + ("learn" if count else does) + "}}}]",
    )
    config = RunConfig(
        storage=f"sqlite:///{tmp_path}/none.db",
        workers=1,
        devices="cpu",
        data=data_root,
    )
    outlook = preview.preview_launch(study, config)
    assert outlook.preview.time is None
    result = preview.with_time(outlook)
    assert (result.time is not None) is bool(count)
    assert result.disk_bytes > 0
