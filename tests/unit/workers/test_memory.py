"""Running out of memory is told from other errors, and measured."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch

from hpsearch.workers.trial import memory

CUDA = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB of "
    "which 1.20 GiB is free. Including non-PyTorch memory, this process has 77.90 GiB."
)


def raised(call) -> BaseException:
    with pytest.raises(BaseException) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("error", "asked_mb"),
    [
        pytest.param(torch.OutOfMemoryError(CUDA), 2684.4, id="cuda"),
        pytest.param(MemoryError(), None, id="python"),
        pytest.param(
            RuntimeError("MPS backend out of memory (allocated: 17.00 GB)."),
            None,
            id="mps",
        ),
        pytest.param(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), None, id="cublas"),
    ],
)
def test_what_the_error_says_is_kept(error: BaseException, asked_mb: float | None) -> None:
    out_of_memory = memory.detect_out_of_memory(error, "cpu")
    assert out_of_memory is not None
    assert out_of_memory.asked_mb == asked_mb
    assert out_of_memory.peak_mb > 10


def test_the_real_allocators_refusals_are_known() -> None:
    """64 TB: no machine has it, and no kernel promises it."""
    torch_error = raised(lambda: torch.empty(2**44, dtype=torch.float32))
    numpy_error = raised(lambda: np.empty(2**44, dtype=np.float32))
    for error in (torch_error, numpy_error):
        out_of_memory = memory.detect_out_of_memory(error, "cpu")
        assert out_of_memory is not None, error
        assert out_of_memory.asked_mb == pytest.approx(2**46 / 1e6, rel=0.01)
        assert str(out_of_memory).endswith(f"{out_of_memory.asked_mb:,.0f} MB more were requested")
        assert out_of_memory.attributes() == {
            "out_of_memory": str(out_of_memory),
            "memory_peak_mb": round(out_of_memory.peak_mb, 1),
            "memory_asked_mb": out_of_memory.asked_mb,
        }


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("out of memory"),
        OSError("no space"),
    ],
)
def test_other_errors_are_none_of_it(error: BaseException) -> None:
    assert memory.detect_out_of_memory(error, "cpu") is None


def test_the_peak_is_this_trials_own() -> None:
    """Three hundred MB that were freed before the trial began don't count for it."""
    del_me = np.ones(300_000_000, dtype=np.uint8)
    del del_me
    before = memory.detect_out_of_memory(MemoryError(), "cpu")
    memory.measure_from_here("cpu")
    after = memory.detect_out_of_memory(MemoryError(), "cpu")
    assert before is not None
    assert after is not None
    assert before.peak_mb - after.peak_mb > 200
    array = np.ones(300_000_000, dtype=np.uint8)
    grown = memory.detect_out_of_memory(MemoryError(), "cpu")
    assert grown is not None
    assert grown.peak_mb - after.peak_mb > 250
    assert array[-1] == 1


def test_what_led_to_an_error_holds_nothing_either() -> None:
    references = []

    def fill() -> None:
        tensor = torch.zeros(3)
        references.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError(CUDA)

    def wrapped() -> None:
        try:
            fill()
        except torch.OutOfMemoryError as error:
            raise RuntimeError("the model") from error

    try:
        wrapped()
    except RuntimeError as error:
        assert references[0]() is not None
        memory.forget_frames(error)
        assert references[0]() is None
