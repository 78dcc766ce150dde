"""The rule that chooses fp32 or bf16."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch

from hpsearch.registry import Component
from hpsearch.training import precision
from hpsearch.training.models.inspection import describe

CPU = torch.device("cpu")


@pytest.fixture
def bf16_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)


def choose(model: str, shape: tuple[int, int, int], batch: int, **settings: Any) -> str:
    summary = describe(Component(model, settings), input_shape=shape, classes=10)
    return precision.choose(
        "auto",
        device=CPU,
        multiply_adds=summary.multiply_adds,
        batch_size=batch,
    )


@pytest.mark.usefixtures("bf16_cpu")
@pytest.mark.parametrize(
    ("model", "shape", "batch", "settings", "expected"),
    [
        pytest.param("simple_cnn", (1, 8, 8), 32, {}, "fp32", id="11 M: a tiny net on digits"),
        pytest.param("mlp", (1, 8, 8), 512, {}, "fp32", id="a tiny dense net"),
        pytest.param("simple_cnn", (3, 32, 32), 1, {}, "fp32", id="one image at a time"),
        pytest.param("emoji_net", (3, 32, 32), 8, {}, "fp32", id="20 M, just below"),
        pytest.param("emoji_net", (3, 32, 32), 10, {}, "bf16", id="25 M: report E's batch"),
        pytest.param("dilated_cnn", (1, 28, 28), 2, {}, "fp32", id="two-block CNN, batch 2"),
        pytest.param("simple_cnn", (3, 32, 32), 32, {}, "bf16", id="32/64 channels at 32 px"),
        pytest.param("mlp", (3, 32, 32), 2, {"hidden": [3072]}, "fp32", id="dense, batch 2"),
        pytest.param("mlp", (3, 32, 32), 4, {"hidden": [3072]}, "bf16", id="dense, batch 4"),
    ],
)
def test_on_a_cpu_that_has_bf16(
    model: str,
    shape: tuple[int, int, int],
    batch: int,
    settings: dict[str, Any],
    expected: str,
) -> None:
    assert choose(model, shape, batch, **settings) == expected


@pytest.mark.usefixtures("bf16_cpu")
@pytest.mark.parametrize(
    ("multiply_adds", "batch_size", "expected"),
    [
        (20_000_000, 1, "bf16"),
        (19_999_999, 1, "fp32"),
        (500_000, 40, "bf16"),
        (500_000, 39, "fp32"),
    ],
)
def test_the_work_of_a_step_decides(multiply_adds: int, batch_size: int, expected: str) -> None:
    chosen = precision.choose(
        "auto", device=CPU, multiply_adds=multiply_adds, batch_size=batch_size
    )

    assert chosen == expected


def test_on_a_cpu_that_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: False)

    assert choose("simple_cnn", (3, 32, 32), 512) == "fp32"


@pytest.mark.parametrize("has_bf16", [False, True])
def test_on_a_gpu_it_is_what_the_gpu_has(monkeypatch: pytest.MonkeyPatch, has_bf16: bool) -> None:
    monkeypatch.setattr(precision, "cuda_has_bf16", lambda device: has_bf16)

    chosen = precision.choose("auto", device=torch.device("cuda"), multiply_adds=1, batch_size=1)

    assert chosen == ("bf16" if has_bf16 else "fp32")


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_what_is_asked_for_is_taken(asked: Literal["fp32", "bf16"], device: str) -> None:
    chosen = precision.choose(
        asked, device=torch.device(device), multiply_adds=10**12, batch_size=512
    )

    assert chosen == asked


def test_asking_this_cpu_answers() -> None:
    assert precision.cpu_has_bf16() in (True, False)
