"""Compares the accuracy of a training on the device with one on the CPU, with the same seeds.

In fp32 the first epoch's loss must agree up to rounding, since weights, split and order are the
same. The accuracy is compared in the device's own precision, and may differ as much as between
seeds.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

from scipy import stats

from benchmarks.gpu.configs import gray, trial
from benchmarks.gpu.settings import Finding, Settings
from hpsearch.metrics import EpochMetrics
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.engine import train
from hpsearch.training.plan import plan

CONV = {"channels": 32, "kernel_size": 3}
MODELS = (
    Component("dilated_cnn", {"conv1": CONV, "conv2": CONV}),
    Component("mlp", {"hidden": [120]}),
)

#: The first epoch's loss in fp32 may differ by this share, as convolutions in TF32 have 10 bits.
CLOSE = 0.02

#: Two-sided level of the interval that the difference must lie in.
LEVEL = 0.99


def measure(settings: Settings) -> Finding:
    """Train each model with several seeds on both devices."""
    rows, wrong = [], []
    for model in MODELS:
        config = trial(
            gray(settings), model=model, epochs=settings.of(3, 1), batch_size=settings.of(64, 32)
        )
        row = compare(config, settings.device, seeds=settings.of(4, 2))
        rows.append({"model": model.name, **row})
        if not row["within seed noise"] or row["first loss differs by"] > CLOSE:
            wrong.append(model.name)
    summary = "; ".join(
        f"{row['model']}: {row['difference, points']:+.2f} points of accuracy "
        f"(noise {row['noise, points']:.2f}), first loss in fp32 {row['first loss differs by']:.1e}"
        for row in rows
    )
    return Finding(verdict="wrong" if wrong else "ok", said=summary, rows=rows)


def compare(config: TrialConfig, device: str, *, seeds: int) -> dict[str, object]:
    """Return one row: mean accuracies on both, their difference, and that of seeds alone."""
    apart, here, there = [], [], []
    for seed in range(seeds):
        of_seed = replace(config, seed=seed)
        plain = replace(of_seed, precision="fp32")
        on_cpu = _trained(plain, "cpu")
        in_fp32 = next(train(plain, device=device))
        apart.append(abs(in_fp32.metrics.train_loss / on_cpu[0].train_loss - 1))
        here.append(100 * on_cpu[-1].val_accuracy)
        there.append(100 * _trained(of_seed, device)[-1].val_accuracy)
    difference = statistics.mean(there) - statistics.mean(here)
    noise = noise_of(here, there, images=plan(config, device=device).val_images)
    return {
        "precision": plan(config, device=device).precision,
        "CPU, %": round(statistics.mean(here), 2),
        "device, %": round(statistics.mean(there), 2),
        "difference, points": round(difference, 2),
        "noise, points": round(noise, 2),
        "within seed noise": abs(difference) <= noise,
        "first loss differs by": max(apart),
    }


def noise_of(one: list[float], other: list[float], *, images: int) -> float:
    """Return half the width of the interval for a difference of means that is truly 0 (Welch).

    It is at least the share of a single image, even if the seeds happen to agree.
    """
    spreads = [statistics.variance(sample) / len(sample) for sample in (one, other)]
    if not sum(spreads):
        return 100 / images
    freedom = sum(spreads) ** 2 / sum(
        spread**2 / (len(sample) - 1) for spread, sample in zip(spreads, (one, other), strict=True)
    )
    width = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * sum(spreads) ** 0.5
    return max(width, 100 / images)


def _trained(config: TrialConfig, device: str) -> list[EpochMetrics]:
    return [end.metrics for end in train(config, device=device)]
