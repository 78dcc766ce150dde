"""What an early rung says of the end, within samples of a table."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.search_efficiency import forecast
from benchmarks.search_efficiency.forecast import (
    ACCURACY,
    LOWEST_LOSS,
    SAMPLED,
    TRAINING_LOSS,
    Sample,
    by_own_ends,
    judge,
    learned,
    samples,
    show,
)
from benchmarks.search_efficiency.table import read_table


def made_up(signals: np.ndarray, truth: np.ndarray, data_set: str = "one") -> Sample:
    return Sample(data_set=data_set, stage=0, signals=signals, truth=truth, ends=truth)


def test_a_signal_is_judged_by_what_its_best_third_has() -> None:
    truth = np.linspace(0.1, 0.9, 30)
    sample = made_up(np.zeros((30, 6)), truth)
    assert judge(sample, truth) == (1.0, 0.0)
    share, lack = judge(sample, -truth)
    assert share == 0.0
    assert lack == pytest.approx(100 * (truth[-1] - truth[9]))


def test_weights_go_to_the_signal_that_has_the_truth() -> None:
    rng = np.random.default_rng(0)
    known = []
    for data_set in ("one", "two"):
        signals, truth = rng.random((40, 6)), rng.random(40)
        signals[:, TRAINING_LOSS] = np.argsort(np.argsort(truth)) / 39
        known.append(made_up(signals, truth, data_set))
    weights = learned(known, 3)
    assert weights.shape == (3,)
    assert weights[TRAINING_LOSS] > 0.9
    assert np.abs(weights[:TRAINING_LOSS]).max() < 0.1


def test_own_ends_correct_an_even_mean() -> None:
    rng = np.random.default_rng(1)
    signals, truth = rng.random((60, 6)), rng.random(60)
    signals[:, LOWEST_LOSS] = np.argsort(np.argsort(truth)) / 59
    sample = made_up(signals, truth)
    by_ends, by_mean = by_own_ends(sample), signals[:, :3].mean(axis=1)
    assert np.corrcoef(by_ends, truth)[0, 1] > np.corrcoef(by_mean, truth)[0, 1]


def test_samples_are_ranks_of_trials_that_have_come_so_far() -> None:
    table = read_table("fashion14")
    found = samples(table)
    assert list(found) == [1, 3]
    for sample in found[1] + found[3]:
        assert sample.data_set == "fashion_mnist"
        assert sample.signals.shape == (len(sample.truth), 6)
        assert sample.signals.min() == 0.0
        assert sample.signals.max() == 1.0
        assert set(np.round(sample.truth, 6)) <= set(np.round(table.truth, 6))
    assert max(len(sample.truth) for sample in found[1]) == SAMPLED
    # The better half goes on
    assert max(len(sample.truth) for sample in found[3]) <= SAMPLED // 2
    assert all(np.array_equal(s.signals[:, :3], s.signals[:, 3:]) for s in found[1])
    assert not np.array_equal(found[3][0].signals[:, ACCURACY], found[3][0].signals[:, 3])


def test_weights_are_judged_on_data_sets_that_taught_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taught = []

    def noting(known: list[Sample], columns: int) -> np.ndarray:
        taught.append({each.data_set for each in known})
        return learned(known, columns)

    monkeypatch.setattr(forecast, "learned", noting)
    show([read_table("fashion"), read_table("digits")])
    # Two rungs of each table, of which both have one of the same stage; twice for each
    assert taught == [{"digits"}] * 4 + [{"fashion_mnist"}] * 4


def test_it_prints_a_line_for_each_rung_and_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    show([read_table("fashion"), read_table("digits_3")])
    lines = capsys.readouterr().out.splitlines()
    starts = [line.split()[0] for line in lines[2:]]
    assert starts == ["fashion", "fashion", "digits_3", "fashion_mnist", "digits"]
