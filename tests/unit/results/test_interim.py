"""Interim answers of made-up searches with a known truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hpsearch.results.interim import Contender, InterimAnswer, Progress, interim_answer

EPOCHS, IMAGES, SEEDS = 9, 500, 5


def contender(trial: int, curve: Sequence[float]) -> Contender:
    return Contender(trial=trial, curve=dict(enumerate(curve, start=1)))


def answer_of(
    curves: Sequence[Sequence[float]],
    *,
    left: int = 0,
    baseline: int | None = None,
    **progress: int,
) -> InterimAnswer | None:
    found = [contender(number, curve) for number, curve in enumerate(curves)]
    found.sort(key=lambda each: -each.value)
    return interim_answer(
        found, epochs=EPOCHS, images=IMAGES, seeds=SEEDS, baseline=baseline,
        progress=Progress(trials=len(curves), left=left,
                          compute_seconds=progress.get("seconds", 3600),
                          running=progress.get("running", 1)),
    )  # fmt: skip


def flat(value: float) -> list[float]:
    """A curve that doesn't move: its noise is that of the images."""
    return [value] * EPOCHS


def made_up(truths: Sequence[float], rng: np.random.Generator) -> list[list[float]]:
    return [flat(int(rng.binomial(IMAGES, truth)) / IMAGES) for truth in truths]


@pytest.mark.parametrize(
    ("spread", "optimism"), [(0.0, 0.02), (0.02, 0.005), (0.2, 0.0)], ids=["equal", "near", "wide"]
)
def test_the_interval_contains_what_fresh_seeds_show(spread: float, optimism: float) -> None:
    rng = np.random.default_rng(3)
    errors, naive, inside = [], [], []
    for _ in range(80):
        truths = np.clip(0.8 - spread * rng.exponential(1.0, 30), 0.1, 1.0)
        curves = made_up(truths, rng)
        found = answer_of(curves)
        assert found is not None
        truth = truths[found.trial]
        fresh = rng.binomial(IMAGES, truth, SEEDS).mean() / IMAGES
        errors.append(found.expected - truth)
        naive.append(found.value - truth)
        inside.append(found.interval[0] <= fresh <= found.interval[1])
    assert np.mean(inside) > 0.92
    # The expected value lacks most of the optimism, whatever that is
    assert abs(np.mean(errors)) < 0.006 + np.mean(naive) / 4
    assert np.mean(naive) > optimism


def test_an_incomplete_pick_is_expected_to_grow_as_complete_ones_did() -> None:
    growth = np.array([0, 0.1, 0.15, 0.18, 0.2, 0.21, 0.215, 0.22, 0.22])
    complete = [[*(base + growth)] for base in (0.5, 0.52, 0.54)]
    # After 3 of 9 epochs it is where none of the others was
    ahead = [*(0.64 + growth[:3])]
    found = answer_of([*complete, ahead])
    assert found is not None
    assert (found.trial, found.epochs_done) == (3, 3)
    assert found.value < found.expected
    # Less than 0.79 + 0.07, as it is the best of several, and nobody else was so good
    assert 0.79 < found.expected < 0.86
    assert found.interval[0] < 0.86 < found.interval[1]
    assert "after 3 of 9 epochs" in found.sentences("val_accuracy", EPOCHS)[0]


def test_without_a_complete_trial_the_end_is_unknown() -> None:
    assert answer_of([[0.5, 0.6], [0.5, 0.7]]) is None


def test_steep_curves_are_noisier() -> None:
    level = answer_of([flat(0.8), flat(0.7), flat(0.6)])
    steep = answer_of([[*np.linspace(end - 0.3, end, EPOCHS)] for end in (0.8, 0.7, 0.6)])
    assert level is not None
    assert steep is not None
    assert steep.resolution > 1.5 * level.resolution


def test_a_clear_lead_over_the_baseline_is_certain_and_a_tie_is_not() -> None:
    clear = answer_of([flat(0.6), flat(0.8), flat(0.75)], baseline=0)
    tie = answer_of([flat(0.8), flat(0.802), flat(0.75)], baseline=0)
    own = answer_of([flat(0.8), flat(0.7)], baseline=0)
    assert clear is not None
    assert tie is not None
    assert own is not None
    assert clear.better_than_baseline is not None
    assert clear.better_than_baseline > 0.99
    assert tie.better_than_baseline == pytest.approx(0.5, abs=0.1)
    assert own.better_than_baseline is None


def test_more_trials_are_expected_to_bring_less_each_time() -> None:
    rng = np.random.default_rng(1)
    curves = [flat(each) for each in np.clip(rng.normal(0.7, 0.1, 60), 0, 1)]
    few, many = answer_of(curves[:10], left=10), answer_of(curves, left=10)
    none = answer_of(curves, left=0)
    assert few is not None
    assert many is not None
    assert none is not None
    assert few.gain_left > many.gain_left > 0
    assert none.gain_left == 0
    # An hour in which two workers train is two hours of training
    two = answer_of(curves, left=10, running=2)
    assert two is not None
    assert many.gain_per_hour is not None
    assert two.gain_per_hour is not None
    assert two.gain_per_hour > many.gain_per_hour


def test_the_sentences_contain_the_numbers() -> None:
    found = answer_of([flat(0.6), flat(0.8), flat(0.75)], left=5, baseline=0)
    assert found is not None
    first, against, gain = found.sentences("val_accuracy", EPOCHS)
    assert first.startswith("If it ended now: trial 1, 80.00 %; 5 fresh seeds are expected to show")
    assert "first of try_first (trial 0)" in against
    assert gain.startswith("One more hour is expected to bring ")
    assert "the 5 trials left" in gain
