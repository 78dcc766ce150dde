"""Least squares over several draws, and comparisons that are valid for all pairs at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hpsearch.metrics import is_share

Matrix = NDArray[np.float64]

#: Simulated draws for a simultaneous interval; enough that its width varies by less than 1 %.
_SIMULATED = 20_000

#: Metrics that aren't shares and have no value below 0.
_NEVER_NEGATIVE = ("val_loss", "val_calibration_error")


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """Coefficients of a regression, with their uncertainty."""

    #: float64 (columns,), (columns, columns).
    coefficients: Matrix
    covariance: Matrix
    #: Degrees of freedom of Student's t.
    freedom: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """All differences between levels: ``first`` less ``second``."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    estimates: Matrix
    errors: Matrix
    #: Half of a simultaneous interval's width, divided by the standard error.
    quantile: float
    #: Of the hypothesis that no levels differ.
    p_value: float

    def of(self, one: int, other: int) -> tuple[float, float, float]:
        """Return estimate, low and high of ``one`` less ``other``.

        Raises:
            KeyError: If the two levels aren't a pair.
        """
        for place, pair in enumerate(zip(self.first, self.second, strict=True)):
            if pair in ((one, other), (other, one)):
                sign = 1.0 if pair == (one, other) else -1.0
                estimate = sign * float(self.estimates[place])
                reach = self.quantile * float(self.errors[place])
                return estimate, estimate - reach, estimate + reach
        raise KeyError((one, other))


def fit(design: Matrix, outcomes: Matrix) -> Fit | None:
    """Regress ``outcomes`` (trials, draws) on ``design``; the draws' spread is part of the error.

    Within a draw, the errors are HC3's (MacKinnon and White 1985): no equal variance is assumed.
    Between draws, Rubin's rule adds the uncertainty due to pruning. ``None`` if there are too few
    trials for the columns.
    """
    trials, columns = design.shape
    if trials - columns < 5 or np.linalg.matrix_rank(design) < columns:
        return None
    inverse = np.linalg.inv(design.T @ design)
    project = inverse @ design.T
    leverage = np.einsum("ij,ji->i", design, project)
    coefficients = project @ outcomes
    residuals = (outcomes - design @ coefficients) / np.maximum(1 - leverage, 1e-3)[:, None]
    draws = outcomes.shape[1]
    within = project * (residuals**2).mean(axis=1) @ project.T
    between = np.zeros_like(within)
    freedom = float(trials - columns)
    if draws > 1:
        deviations = coefficients - coefficients.mean(axis=1, keepdims=True)
        between = (1 + 1 / draws) * deviations @ deviations.T / (draws - 1)
        freedom = _freedom(np.diag(within).mean(), np.diag(between).mean(), draws, freedom)
    return Fit(coefficients=coefficients.mean(axis=1), covariance=within + between, freedom=freedom)


def all_pairs(estimates: Matrix, covariance: Matrix, freedom: float, *, seed: int = 0) -> Pairs:
    """Compare every two of ``estimates``; the 95 % intervals are valid for all of them at once.

    Args:
        estimates: float64 (levels,), two levels or more.
        covariance: float64 (levels, levels), of the estimates.
        freedom: Degrees of freedom of Student's t.
        seed: Seed of the simulation.
    """
    first, second = zip(*combinations(range(len(estimates)), 2), strict=True)
    contrast = np.zeros((len(first), len(estimates)))
    contrast[np.arange(len(first)), first] = 1.0
    contrast[np.arange(len(first)), second] = -1.0
    differences = contrast @ estimates
    quantile, p_value, errors = together(contrast, estimates, covariance, freedom, seed=seed)
    return Pairs(
        first=first,
        second=second,
        estimates=differences,
        errors=errors,
        quantile=quantile,
        p_value=p_value,
    )


def together(
    contrast: Matrix, estimates: Matrix, covariance: Matrix, freedom: float, *, seed: int = 0
) -> tuple[float, float, Matrix]:
    """Return the 95 % quantile of the largest |t| of ``contrast``, its p value, and the errors.

    The multivariate t is simulated: comparisons of the same levels depend on each other, and
    a correction for independent ones would give intervals that are too wide.

    Args:
        contrast: float64 (comparisons, levels), one comparison per row.
        estimates: float64 (levels,).
        covariance: float64 (levels, levels), of the estimates.
        freedom: Degrees of freedom of Student's t.
        seed: Seed of the simulation.

    Returns:
        The quantile, the p value of the hypothesis that every comparison is 0, and the standard
        errors, float64 (comparisons,).
    """
    spread = contrast @ covariance @ contrast.T
    errors = np.sqrt(np.maximum(np.diag(spread), 1e-300))
    observed = np.abs(contrast @ estimates) / errors
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root = contrast @ (vectors * np.sqrt(np.maximum(values, 0.0))) / errors[:, None]
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((_SIMULATED, len(estimates))) @ root.T
    scale = np.sqrt(rng.chisquare(freedom, _SIMULATED) / freedom)
    largest = np.abs(normal).max(axis=1) / scale
    # The simulation can't resolve p values below 1 in 20,000; adding one avoids 0
    p_value = (1 + int((largest >= observed.max()).sum())) / (_SIMULATED + 1)
    return float(np.quantile(largest, 0.95)), p_value, errors


def mean_of(regression: Fit, column: int, *, metric: str) -> tuple[float, float, float]:
    """Return a level's mean and the ends of its 95 % interval, within the bounds of ``metric``.

    A regression has no bounds: its estimate for a level with few trials may be beyond them.

    Args:
        regression: A fit whose columns include the level's.
        column: Index of the level's column.
        metric: The objective; all are shares (0..1) except ``val_loss`` (0 or more).

    Returns:
        Mean, low and high, in the objective's unit.
    """
    from scipy.special import stdtrit

    mean = float(regression.coefficients[column])
    reach = float(stdtrit(regression.freedom, 0.975)) * float(
        np.sqrt(regression.covariance[column, column])
    )
    # A share is in 0..1, and a loss isn't negative. Others may be: those of a study's own loop
    largest = 1.0 if is_share(metric) else float("inf")
    least = 0.0 if is_share(metric) or metric in _NEVER_NEGATIVE else -float("inf")
    low, mean, high = (min(largest, max(least, at)) for at in (mean - reach, mean, mean + reach))
    return mean, low, high


def _freedom(within: float, between: float, draws: int, complete: float) -> float:
    """Return the degrees of freedom over draws (Barnard and Rubin 1999)."""
    total = within + between
    if total <= 0 or between <= 0:
        return complete
    missing = between / total
    of_draws = (draws - 1) / missing**2
    observed = (complete + 1) / (complete + 3) * complete * (1 - missing)
    return max(1.0, 1 / (1 / of_draws + 1 / max(observed, 1e-9)))
