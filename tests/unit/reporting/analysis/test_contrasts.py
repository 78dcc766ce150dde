"""Against statsmodels and scipy, which know how it is done."""

from __future__ import annotations

import numpy as np
import pytest

from hpsearch.reporting.analysis.contrasts import Fit, all_pairs, fit, mean_of
from hpsearch.results.verdicts import holm


def example(seed: int = 0, trials: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    level = rng.integers(0, 3, trials)
    design = np.column_stack([np.eye(3)[level], rng.normal(size=trials)])
    values = design @ [0.7, 0.75, 0.8, 0.02] + rng.normal(0, 0.01 * (1 + level))
    return design, values


def test_one_draw_is_least_squares_with_hc3_errors() -> None:
    import statsmodels.api as sm

    design, values = example()
    regression = fit(design, values[:, None])
    reference = sm.OLS(values, design).fit(cov_type="HC3")
    assert regression is not None
    np.testing.assert_allclose(regression.coefficients, reference.params, rtol=1e-9)
    np.testing.assert_allclose(regression.covariance, reference.cov_params(), rtol=1e-9)
    assert regression.freedom == 36


def test_what_differs_between_draws_is_part_of_the_error() -> None:
    design, values = example()
    rng = np.random.default_rng(1)
    draws = values[:, None] + rng.normal(0, 0.05, (1, 20))  # a shift that nobody knows
    alone, together = fit(design, values[:, None]), fit(design, draws)
    assert alone is not None
    assert together is not None
    added = together.covariance[0, 0] - alone.covariance[0, 0]
    assert added == pytest.approx((1 + 1 / 20) * draws.mean(axis=0).var(ddof=1), rel=0.05)
    assert together.freedom < alone.freedom / 2


def test_too_few_trials_or_columns_that_say_the_same_give_nothing() -> None:
    design, values = example(trials=40)
    assert fit(design[:8], values[:8, None]) is None
    assert fit(np.column_stack([design, design[:, 3]]), values[:, None]) is None


def test_all_pairs_are_tukeys_where_errors_are_equal_and_independent() -> None:
    from scipy.stats import studentized_range

    pairs = all_pairs(np.array([0.0, 0.5, 2.0, 1.0]), np.eye(4) * 0.3**2, 30.0)
    assert pairs.quantile == pytest.approx(
        studentized_range.ppf(0.95, 4, 30) / np.sqrt(2), rel=0.01
    )
    largest = 2.0 / (0.3 * np.sqrt(2))
    p_value = studentized_range.sf(largest * np.sqrt(2), 4, 30)
    assert pairs.p_value == pytest.approx(p_value, abs=2e-3)
    estimate, low, high = pairs.of(2, 0)
    assert (estimate, high - estimate) == (2.0, pytest.approx(estimate - low))
    assert pairs.of(0, 2) == (-estimate, -high, -low)


def test_holms_correction_is_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    values = [0.2, 0.001, 0.03, 0.011, 0.9, 0.04]
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1].tolist())
    assert holm([]) == []


@pytest.mark.parametrize(
    ("metric", "mean", "expected"),
    [
        ("val_accuracy", 0.5, (0.5, 0.296, 0.704)),
        # Carried on beyond what can be: neither the mean nor an end of its interval goes along
        ("val_accuracy", 1.2, (1.0, 0.996, 1.0)),
        ("val_accuracy", 1.4, (1.0, 1.0, 1.0)),
        ("val_macro_f1", -0.1, (0.0, 0.0, 0.104)),
        ("val_loss", 1.4, (1.4, 1.196, 1.604)),
        ("val_loss", -0.1, (0.0, 0.0, 0.104)),
    ],
)
def test_a_mean_stays_within_what_the_metric_can_be(
    metric: str, mean: float, expected: tuple[float, float, float]
) -> None:
    regression = Fit(coefficients=np.array([mean]), covariance=np.array([[0.01]]), freedom=30.0)
    assert mean_of(regression, 0, metric=metric) == pytest.approx(expected, abs=1e-3)
