"""Estimated end values of pruned trials, with their uncertainty.

Without the pruned trials, bad levels would look good: only their lucky trials would be left. So
each pruned trial is continued, rung by rung, in the way that trials with its value at that rung
continued, in several draws (multiple imputation, Rubin 1987). A pruner stops a trial by what it has
reported, never by its later values; so, given that report, the trials that continued are
representative of the others.

A step from one rung to the next is a linear regression of the gain on the value at the rung and on
the configuration (which decides how fast a network learns), on the logit scale for shares and the
log scale for losses. Coefficients that don't matter for the gain are shrunk to 0, as far as the
data support it. Each draw takes coefficients and noise from their posterior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.metrics import is_share
from hpsearch.reporting.analysis.observations import AnalysisData, ObservedTrial

Matrix = NDArray[np.float64]

#: Largest number of rungs; more (a pruner that checks every epoch) are thinned evenly.
_RUNGS = 6
#: Smallest distance of a share from 0 and 1, so that no logit is infinite.
_EDGE = 2e-3
#: With fewer trials on a step, only their mean gain is used.
_FEWEST = 3
#: Prior of the noise: this many trials, with this share of the gain's variance.
_PRIOR_TRIALS, _PRIOR_SHARE = 2, 0.1
#: Sweeps of the sampler before the first draw, and from one draw to the next.
_BURN_IN, _THIN = 100, 3
#: Prior number of columns that the gain depends on.
_MATTER = 3
#: Prior deviation of the slope: how far a trial's rank may move from rung to rung.
_SLOPE = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Configuration:
    """The trials' configurations as numbers."""

    #: float64 (trials, columns), each column with standard deviation 1.
    columns: Matrix
    #: The parameter of each column, counted from 0.
    groups: Sequence[int]


def impute(
    data: AnalysisData,
    configuration: Configuration,
    focus_columns: Matrix | None = None,
    *,
    draws: int,
    seed: int = 0,
) -> Matrix | None:
    """Return end values of all trials in several draws.

    Args:
        data: The ended trials.
        configuration: Their configurations, as columns.
        focus_columns: float64 (trials, columns) by which the end values are compared afterwards;
            ``None`` for none. Their effect on the gains isn't shrunk: if hardly any trial of a
            level continued, how such trials continue is unknown, and the assumption that they
            continue as the others do would produce a finding without data.
        draws: Number of draws.
        seed: Seed of the draws.

    Returns:
        float64 (trials, draws), in the objective's unit. A complete trial has its own value in
        every draw, and a diverged one has NaN. ``None`` if no trial is complete.
    """
    trials = data.trials
    ends = np.array([np.nan if trial.value is None else trial.value for trial in trials])
    if not np.isfinite(ends).any():
        return None
    share = is_share(data.metric)
    rungs = _rungs(trials)
    rng = np.random.default_rng(seed)
    if focus_columns is None:
        focus_columns = np.zeros((len(trials), 0))
    # One column per rung with the trials' values, and NaN if a trial didn't reach the rung
    rung_values = np.array(
        [[trial.curve[rung - 1] if len(trial.curve) >= rung else np.nan for rung in rungs]
         for trial in trials]
    ).reshape(len(trials), len(rungs))  # fmt: skip
    raw_values = np.column_stack([rung_values, ends])
    # A study's own training loop may have a metric that is below 0, which has no logarithm
    signed = not share and bool(np.nanmin(raw_values) < 0)
    at = raw_values if signed else _transform(raw_values, share=share)
    values = np.repeat(at[:, :, None], draws, axis=2)
    for step in range(len(rungs)):
        here, there = at[:, step], at[:, step + 1]
        both = np.isfinite(here) & np.isfinite(there)
        missing = np.isfinite(values[:, step, 0]) & np.isnan(there)
        # An early stop ends a trial before later rungs, and its end value is known
        missing &= ~np.isfinite(at[:, -1])
        if not missing.any() or not both.any():
            continue
        _impute_step(values, step, both, missing, focus_columns, configuration, rng)
    result = values[:, -1, :]
    # If no trial reached the next rung, the last value is used as the end value
    for step in reversed(range(len(rungs))):
        without_end = np.isnan(result[:, 0]) & np.isfinite(values[:, step, 0])
        result[without_end] = values[without_end, step]
    all_ends = result if signed else _back_transform(result, share=share)
    is_complete = np.isfinite(ends)
    all_ends[is_complete] = ends[is_complete, None]
    return all_ends


def _impute_step(
    values: NDArray[np.float64],
    step: int,
    both: NDArray[np.bool_],
    missing: NDArray[np.bool_],
    focus_columns: Matrix,
    configuration: Configuration,
    rng: np.random.Generator,
) -> None:
    """Fill ``values[missing, step + 1]`` draw by draw."""
    here = values[both, step, 0]
    gain = values[both, step + 1, 0] - here
    draws, count = values.shape[2], len(gain)
    if count < _FEWEST:
        # One or two trials show the size of the gain, but not what it depends on
        deviation = abs(float(gain.mean())) + float(gain.std()) + 0.1
        noise = rng.normal(0, deviation, (int(missing.sum()), draws))
        values[missing, step + 1] = values[missing, step] + gain.mean() + noise
        return
    all_columns = np.column_stack([focus_columns, configuration.columns])
    middle, centre_of = here.mean(), all_columns[both].mean(axis=0)
    design = np.column_stack([np.ones(count), here - middle, all_columns[both] - centre_of])
    # Half of the mean gain, if the trials that continued gained nearly the same
    reach = max(float(gain.std()), abs(float(gain.mean())) / 2) + 1e-3
    samples = posterior(
        design,
        gain,
        [_SLOPE, *[reach] * focus_columns.shape[1]],
        configuration.groups,
        draws=draws,
        rng=rng,
    )
    for draw, (coefficients, deviation) in enumerate(samples):
        start = values[missing, step, draw]
        rest = all_columns[missing] - centre_of
        whole = np.column_stack([np.ones(len(start)), start - middle, rest])
        noise = rng.normal(0, deviation, len(start))
        values[missing, step + 1, draw] = start + whole @ coefficients + noise


def posterior(
    design: Matrix,
    gain: Matrix,
    reaches: Sequence[float],
    groups: Sequence[int],
    *,
    draws: int,
    rng: np.random.Generator,
) -> list[tuple[Matrix, float]]:
    """Return draws of the coefficients and the noise, given ``gain``.

    The configuration's coefficients have the horseshoe prior (Carvalho et al. 2010; sampled as in
    Makalic and Schmidt 2016), with one scale per parameter: it shrinks coefficients that don't
    matter to 0 and leaves the others, and the draws show the uncertainty.

    Args:
        design: float64 (n, columns): a column of ones, one column for each of ``reaches``, then the
            configuration's.
        gain: float64 (n,).
        reaches: Prior standard deviation of the coefficient of each column after the ones.
        groups: The parameter of each of the configuration's columns, counted from 0.
        draws: Number of draws.
        rng: Generator of the draws.

    Returns:
        (coefficients, float64 (columns,); standard deviation of the noise) per draw.
    """
    of_group = np.asarray(groups, dtype=np.int64)
    sizes = np.bincount(of_group) if len(of_group) else np.zeros(0, dtype=np.int64)
    gram, moment = design.T @ design, design.T @ gain
    columns, count = design.shape[1], len(gain)
    noise = spread = max(float(gain.var()), 1e-6)
    local, inner = np.full(len(sizes), 0.1), np.ones(len(sizes))
    # Few of the columns are expected to matter (Piironen and Vehtari 2017, eq. 3.12)
    sparse = _MATTER / max(len(of_group) - _MATTER, 1) / np.sqrt(count)
    overall, outer = sparse**2, sparse**2
    fixed, shrink = 1 + len(reaches), np.asarray(reaches) ** -2.0
    samples = []
    for sweep in range(_BURN_IN + draws * _THIN):
        penalty = np.empty(columns)
        penalty[0], penalty[1:fixed] = 0.0, noise * shrink
        penalty[fixed:] = 1 / np.maximum(local[of_group], 1e-10)
        root = np.linalg.cholesky(gram + np.diag(penalty))
        chance = np.sqrt(noise) * rng.standard_normal(columns)
        coefficients = np.linalg.solve(root.T, np.linalg.solve(root, moment) + chance)
        residual = gain - design @ coefficients
        group_squares = np.bincount(of_group, coefficients[fixed:] ** 2, minlength=len(sizes))
        misfit = float(residual @ residual) + float((group_squares / local).sum())
        misfit += _PRIOR_TRIALS * _PRIOR_SHARE * spread
        noise = max(misfit / rng.chisquare(count + len(of_group) + _PRIOR_TRIALS), 1e-10)
        if len(sizes):
            local = (1 / inner + group_squares / (2 * noise)) / rng.gamma((sizes + 1) / 2)
            local = np.clip(local, 1e-10, 1e6)
            inner = (1 / overall + 1 / local) / rng.gamma(1.0, size=len(sizes))
            overall = (1 / outer + float((1 / inner).sum())) / rng.gamma((len(sizes) + 1) / 2)
            overall = min(max(overall, 1e-8), 1.0)
            outer = (sparse**-2 + 1 / overall) / rng.gamma(1.0)
        if sweep >= _BURN_IN and (sweep - _BURN_IN) % _THIN == 0:
            samples.append((coefficients, float(np.sqrt(noise))))
    return samples


def _rungs(trials: Sequence[ObservedTrial]) -> list[int]:
    """Return the epochs at which trials were stopped, thinned; other trials reached all of them."""
    stopped = sorted(
        {len(trial.curve) for trial in trials if trial.value is None and not trial.diverged}
    )
    if len(stopped) <= _RUNGS:
        return stopped
    places = np.linspace(0, len(stopped) - 1, _RUNGS).round().astype(int)
    return [stopped[place] for place in places]


def _transform(values: Matrix, *, share: bool) -> Matrix:
    if not share:
        return np.log(np.maximum(values, 1e-6))
    clipped = np.clip(values, _EDGE, 1 - _EDGE)
    return np.log(clipped / (1 - clipped))


def _back_transform(values: Matrix, *, share: bool) -> Matrix:
    original: Matrix = np.exp(values) if not share else 1 / (1 + np.exp(-values))
    return original
