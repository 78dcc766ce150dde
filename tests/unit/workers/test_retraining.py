"""Training one frozen config: as it was trained, unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hpsearch.errors import UserError
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.trial_config import trial_seed
from hpsearch.training import threads
from hpsearch.workers.retraining import assignment
from hpsearch.workers.retraining.assignment import plan_single
from hpsearch.workers.retraining.run import Retraining

pytestmark = pytest.mark.usefixtures("two_threads")

Frozen = Callable[..., StudyFile]


@pytest.fixture
def refused(data_root: Path) -> Callable[..., str]:
    def message(study: StudyFile, *, device: str | None = None, threads: int | None = None) -> str:
        with pytest.raises(UserError) as error:
            plan_single(study, device=device, threads=threads, data=data_root)
        return str(error.value)

    return message


def test_ranges_are_refused_by_name(load: Frozen, refused: Callable[..., str]) -> None:
    assert refused(load()) == (
        "only a config without ranges can be trained, but 'small' searches "
        "model.mlp.hidden, optimizer.sgd.lr; run `hpsearch launch` and `hpsearch export` first"
    )


def test_a_device_that_is_not_here_is_refused(
    frozen: Frozen, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    missing = (
        "device 'cuda:0' must exist, but this machine has 0 CUDA devices; use --devices auto or cpu"
    )
    assert refused(frozen(), device="cuda:0") == missing
    # Where the config was trained on one, too: another device gives other digits.
    assert refused(frozen(device="cuda:0 (NVIDIA H100)")) == missing


@pytest.mark.parametrize(
    ("option", "recorded", "text"),
    [
        (0, None, "0"),
        (-1, 2, "-1"),
        (0, 2, "0"),
        (None, "two", "'two'"),
        (None, 0, "0"),
    ],
)
def test_threads_must_be_a_number(
    frozen: Frozen, refused: Callable[..., str], option: int | None, recorded: object, text: str
) -> None:
    study = frozen() if recorded is None else frozen(threads=recorded)
    expected = f"the number of threads must be a whole number from 1, but got {text}"
    assert refused(study, threads=option) == expected


def test_what_can_not_be_built_is_refused_with_the_arithmetic(
    frozen: Frozen, refused: Callable[..., str]
) -> None:
    study = frozen("model={dilated_cnn: {conv1: {kernel_size: 9}}}")
    message = refused(study)
    assert message.startswith("'small' can't be built: conv1: kernel 9 spans 9 pixels, but ")


def test_it_is_trained_as_it_was(frozen: Frozen, data_root: Path) -> None:
    study = frozen(device="cpu", threads=3, trial_seed=4711)
    blueprint = plan_single(study, device=None, threads=None, data=data_root).build_plan
    assert (blueprint.device, blueprint.threads, blueprint.config.seed) == ("cpu", 3, 4711)
    other = plan_single(study, device="cpu", threads=1, data=data_root)
    assert other.build_plan.threads == 1


def test_without_provenance_this_machine_decides(
    frozen: Frozen, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assignment, "cores", lambda: 5)
    monkeypatch.setattr(assignment, "resolve_devices", lambda option: {"auto": ["cpu"]}[option])
    blueprint = plan_single(frozen(), device=None, threads=None, data=data_root).build_plan
    assert (blueprint.device, blueprint.threads) == ("cpu", 1), "a small network takes one"
    monkeypatch.setattr(threads, "CPU_MULTIPLY_ADDS", 0)
    blueprint = plan_single(frozen(), device=None, threads=None, data=data_root).build_plan
    assert (blueprint.device, blueprint.threads) == ("cpu", 5)
    assert blueprint.config.seed == trial_seed(5, 1)


def test_training_it_uses_its_threads(frozen: Frozen, data_root: Path) -> None:
    planned = plan_single(frozen(), device="cpu", threads=1, data=data_root)
    results = list(Retraining(planned).epochs())
    assert [result.epoch for result in results] == [1, 2, 3]
    assert torch.get_num_threads() == 1


def test_the_same_config_gives_the_same_figures(frozen: Frozen, data_root: Path) -> None:
    def figures() -> list[tuple[float, float]]:
        planned = plan_single(frozen(trial_seed=1), device="cpu", threads=1, data=data_root)
        results = Retraining(planned).epochs()
        return [(result.train_loss, result.val_loss) for result in results]

    assert figures() == figures()
