"""Joules of a GPU: a counter of all that it ever took becomes what one trial took."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from hpsearch.workers.trial.energy import EnergyMeter, counter_of, meter_of


def test_only_what_was_taken_since_counts_and_is_shared_with_who_computes_there():
    readings = iter([(1000.0, 1), (1010.0, 1), (1050.0, 4), (1050.0, 0)])
    meter = EnergyMeter(lambda: next(readings))
    assert meter.look() == 10.0
    assert meter.look() == 10.0 + 40.0 / 4
    assert meter.look() == 20.0


def test_it_goes_on_from_what_earlier_attempts_spent():
    readings = iter([(100.0, 1), (500.0, 1), (530.0, 1)])
    meter = EnergyMeter(lambda: next(readings))
    meter.go_on_from(70.0)  # what the GPU took between the two attempts is nobody's
    assert meter.look() == 100.0


def test_the_gpu_is_found_by_its_uuid_and_counts_in_millijoules():
    uuids = []
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuids.append(uuid) or "gpu",
        nvmlDeviceGetTotalEnergyConsumption=lambda gpu: 2500,
        nvmlDeviceGetComputeRunningProcesses=lambda gpu: ["one", "two"],
        NVMLError=OSError,
    )
    assert counter_of(nvml, "1234-abcd")() == (2.5, 2)
    assert uuids == ["GPU-1234-abcd"]


def test_a_look_that_nvml_refuses_is_made_up_for_by_the_next():
    readings = iter([(100.0, 1), None, (130.0, 1), None])
    meter = EnergyMeter(lambda: next(readings))
    assert [meter.look() for _ in range(3)] == [0.0, 30.0, 30.0]


def test_a_gpu_that_is_lost_amid_a_trial_ends_nothing():
    energy = iter([1000, 3000])

    def total(gpu: object) -> int:
        try:
            return next(energy)
        except StopIteration:
            raise OSError("GPU is lost") from None

    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: "gpu",
        nvmlDeviceGetTotalEnergyConsumption=total,
        nvmlDeviceGetComputeRunningProcesses=lambda gpu: ["one"],
        NVMLError=OSError,
    )
    read = counter_of(nvml, "MIG-1234")
    assert [read(), read()] == [(3.0, 1), None]


def test_where_nothing_tells_it_there_is_no_meter(monkeypatch: pytest.MonkeyPatch):
    assert meter_of("cpu") is None
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as if it weren't installed
    assert meter_of("cuda:0") is None
