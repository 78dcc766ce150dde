"""Compares an interrupted training with an uninterrupted one, on the device and across to the CPU.

On a GPU two uninterrupted runs of one configuration may differ in the last digits, since cuDNN
chooses algorithms by their speed. So their difference is the scale for the interrupted run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchmarks.gpu.configs import gray, trial
from benchmarks.gpu.settings import Finding, Settings
from hpsearch.errors import TrainingInterrupted
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.engine import train

#: Most that an interrupted run may differ, as a multiple of the difference of uninterrupted runs.
TOLERATED = 3.0

#: Relative difference of losses that is always allowed: rounding errors grow over epochs.
ROUNDING = 1e-3

#: The same if the second half was trained on the other kind of device.
ACROSS = 0.25


def measure(settings: Settings) -> Finding:
    """Interrupt during epoch 2, and continue on this and on the other kind of device."""
    config = _config(settings)
    undisturbed = [_losses(config, settings.device) for _ in range(settings.of(3, 2))]
    rerun = max(_apart(undisturbed[0], losses) for losses in undisturbed[1:])
    rows, wrong = [], []
    for first, second in _ways(settings.device):
        state = _interrupted(config, first)
        losses = _losses(config, second, state)
        apart = _apart(undisturbed[0][1:], losses)
        # Across devices, dropout draws other numbers, but the loss must continue similarly
        tolerated = max(TOLERATED * rerun, ROUNDING) if first == second else ACROSS
        fine = apart <= tolerated
        rows.append(
            {
                "first half": first,
                "second half": second,
                "differs by": apart,
                "two undisturbed runs by": rerun,
                "as it should be": fine,
            }
        )
        if not fine:
            wrong.append(f"{first} to {second}")
    on_device = rows[0]["differs by"]
    exact = "bit-exact" if on_device == 0 else f"differs by {on_device:.1e} of the loss"
    again = "bit-exact" if rerun == 0 else f"by {rerun:.1e}"
    return Finding(
        verdict="wrong" if wrong else "ok",
        said=f"interrupted and resumed: {exact}; two undisturbed runs: {again}"
        + (f"; wrong: {', '.join(wrong)}" if wrong else ""),
        rows=rows,
    )


def _ways(device: str) -> list[tuple[str, str]]:
    return list(dict.fromkeys([(device, device), (device, "cpu"), ("cpu", device)]))


def _config(settings: Settings) -> TrialConfig:
    """Return a configuration with all that a resume must restore: dropout, crops, momentum."""
    config = trial(
        gray(settings, 2000),
        model=Component("simple_cnn", {"dropout": 0.3}),
        epochs=3,
        batch_size=settings.of(64, 40),
        optimizer=Component("adam", {"lr": 0.001}),
    )
    augmentation = (Component("random_crop", {"padding": 2}), Component("horizontal_flip"))
    # The same precision, so that only the device differs
    return replace(config, precision="fp32", data=replace(config.data, augmentation=augmentation))


def _losses(
    config: TrialConfig, device: str, state: Mapping[str, Any] | None = None
) -> list[float]:
    return [result.metrics.train_loss for result in train(config, device=device, resume_from=state)]


def _interrupted(config: TrialConfig, device: str) -> Mapping[str, Any]:
    """Return the state of a training that was stopped after two batches of epoch 2."""
    checks = 0
    ended: list[int] = []

    def stop() -> bool:
        nonlocal checks
        checks += bool(ended)
        return checks > 2

    try:
        for result in train(config, device=device, should_stop=stop):
            ended.append(result.epoch)
    except TrainingInterrupted as interrupted:
        return interrupted.state()
    raise RuntimeError("the training ended before it could be interrupted")


def _apart(one: list[float], other: list[float]) -> float:
    """Return the largest relative difference of two loss curves."""
    return max(abs(a / b - 1) for a, b in zip(one, other, strict=True))
