"""What pruned trials would have come to at their end, with the uncertainty of it.

Leaving pruned trials out would make bad levels look good: of those only the lucky trials are left.
So each is carried on, rung by rung, by how trials with its value at that rung went on, in several
draws (multiple imputation, Rubin 1987). A rule stops a trial by what it has reported, never by what
it would have come to; so given that report, those that went on tell how the others would have.

A step from one rung to the next is a linear regression of the gain on the value there and on the
configuration (which decides how fast a network learns), on the logit scale for shares and the log
scale for losses. What doesn't matter for the gain is shrunk to nothing, as far as the data ask for
it. Each draw takes coefficients and noise from their posterior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.results.analysis.observations import AnalysisData, ObservedTrial

Matrix = NDArray[np.float64]

#: Rungs that are told apart; where a rule looks at every epoch, these many spread over them.
_RUNGS = 6
#: A share this close to 0 or 1 counts as this close: no logit is infinite.
_EDGE = 2e-3
#: Fewer trials than this on a step are described by their mean gain alone.
_FEWEST = 3
#: What is thought of the noise before any data: so many trials, with this share of the gain's own
#: variance.
_PRIOR_TRIALS, _PRIOR_SHARE = 2, 0.1
#: Sweeps of the sampler before the first draw, and from one draw to the next.
_BURN_IN, _THIN = 100, 3
#: Columns of which the gain is expected to depend, before any data.
_MATTER = 3
#: How far, before any data, a trial's place among the others may move from rung to rung.
_SLOPE = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Configuration:
    """The trials' configurations as numbers."""

    #: float64 (trials, columns), each of deviation 1.
    columns: Matrix
    #: Which parameter each column belongs to, from 0.
    groups: Sequence[int]


def impute(
    data: AnalysisData,
    configuration: Configuration,
    focus_columns: Matrix | None = None,
    *,
    draws: int,
    seed: int = 0,
) -> Matrix | None:
    """Return float64 ``(trials, draws)``: end values in the objective's unit.

    ``focus_columns``, float64 (trials, columns), is what the end values are then compared by. Its
    say in the gains isn't shrunk: where hardly a trial of a level went on, how such trials go on is
    unknown, and to assume that they go on as the others do would be a finding made of nothing.

    A complete trial has its own value in every draw; one that diverged has NaN. ``None`` where no
    trial is complete.
    """
    trials = data.trials
    ends = np.array([np.nan if each.value is None else each.value for each in trials])
    if not np.isfinite(ends).any():
        return None
    share = data.metric != "val_loss"
    rungs = _rungs(trials)
    rng = np.random.default_rng(seed)
    if focus_columns is None:
        focus_columns = np.zeros((len(trials), 0))
    # Column by column the trials' values at each rung, and at the end; NaN where not reached
    seen = np.array(
        [[each.curve[rung - 1] if len(each.curve) >= rung else np.nan for rung in rungs]
         for each in trials]
    ).reshape(len(trials), len(rungs))  # fmt: skip
    at = _inside(np.column_stack([seen, ends]), share=share)
    values = np.repeat(at[:, :, None], draws, axis=2)
    for step in range(len(rungs)):
        here, there = at[:, step], at[:, step + 1]
        both = np.isfinite(here) & np.isfinite(there)
        missing = np.isfinite(values[:, step, 0]) & np.isnan(there)
        # An early stop ends a trial before later rungs; what it came to is known
        missing &= ~np.isfinite(at[:, -1])
        if not missing.any():
            continue
        if not both.any():
            continue
        _carry_on(values, step, both, missing, focus_columns, configuration, rng)
    result = values[:, -1, :]
    # A trial whose next rung nobody reached: its last value stands for its end
    for step in reversed(range(len(rungs))):
        lost = np.isnan(result[:, 0]) & np.isfinite(values[:, step, 0])
        result[lost] = values[lost, step]
    ends_drawn = _outside(result, share=share)
    known = np.isfinite(ends)
    ends_drawn[known] = ends[known, None]
    return ends_drawn


def _carry_on(
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
        # One or two trials: they tell about how much is gained, and no more
        deviation = abs(float(gain.mean())) + float(gain.std()) + 0.1
        noise = rng.normal(0, deviation, (int(missing.sum()), draws))
        values[missing, step + 1] = values[missing, step] + gain.mean() + noise
        return
    everything = np.column_stack([focus_columns, configuration.columns])
    middle, centre_of = here.mean(), everything[both].mean(axis=0)
    design = np.column_stack([np.ones(count), here - middle, everything[both] - centre_of])
    # Half of what is gained at all, where trials that went on gained much the same
    reach = max(float(gain.std()), abs(float(gain.mean())) / 2) + 1e-3
    drawn = posterior(
        design,
        gain,
        [_SLOPE, *[reach] * focus_columns.shape[1]],
        configuration.groups,
        draws=draws,
        rng=rng,
    )
    for draw, (coefficients, deviation) in enumerate(drawn):
        start = values[missing, step, draw]
        rest = everything[missing] - centre_of
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
    """Return draws of (coefficients, deviation of the noise) given ``gain`` (n,).

    ``design``: a column of ones, one for each of ``reaches`` (the prior deviation of its
    coefficient), then the configuration's, whose parameters ``groups`` tells. Of these the
    horseshoe prior (Carvalho et al. 2010; sampled as in Makalic
    and Schmidt 2016), one scale per parameter: what doesn't matter for the gain is shrunk to
    nothing, what does is left alone, and how sure that is shows in the draws.
    """
    of_group = np.asarray(groups, dtype=np.int64)
    sizes = np.bincount(of_group) if len(of_group) else np.zeros(0, dtype=np.int64)
    square, mixed = design.T @ design, design.T @ gain
    columns, count = design.shape[1], len(gain)
    noise = spread = max(float(gain.var()), 1e-6)
    local, inner = np.full(len(sizes), 0.1), np.ones(len(sizes))
    # Few of the columns are expected to matter (Piironen and Vehtari 2017, eq. 3.12)
    sparse = _MATTER / max(len(of_group) - _MATTER, 1) / np.sqrt(count)
    overall, outer = sparse**2, sparse**2
    fixed, shrink = 1 + len(reaches), np.asarray(reaches) ** -2.0
    found = []
    for sweep in range(_BURN_IN + draws * _THIN):
        penalty = np.empty(columns)
        penalty[0], penalty[1:fixed] = 0.0, noise * shrink
        penalty[fixed:] = 1 / np.maximum(local[of_group], 1e-10)
        root = np.linalg.cholesky(square + np.diag(penalty))
        chance = np.sqrt(noise) * rng.standard_normal(columns)
        coefficients = np.linalg.solve(root.T, np.linalg.solve(root, mixed) + chance)
        residual = gain - design @ coefficients
        shrunk = np.bincount(of_group, coefficients[fixed:] ** 2, minlength=len(sizes))
        misfit = float(residual @ residual) + float((shrunk / local).sum())
        misfit += _PRIOR_TRIALS * _PRIOR_SHARE * spread
        noise = max(misfit / rng.chisquare(count + len(of_group) + _PRIOR_TRIALS), 1e-10)
        if len(sizes):
            local = (1 / inner + shrunk / (2 * noise)) / rng.gamma((sizes + 1) / 2)
            local = np.clip(local, 1e-10, 1e6)
            inner = (1 / overall + 1 / local) / rng.gamma(1.0, size=len(sizes))
            overall = (1 / outer + float((1 / inner).sum())) / rng.gamma((len(sizes) + 1) / 2)
            overall = min(max(overall, 1e-8), 1.0)
            outer = (sparse**-2 + 1 / overall) / rng.gamma(1.0)
        if sweep >= _BURN_IN and (sweep - _BURN_IN) % _THIN == 0:
            found.append((coefficients, float(np.sqrt(noise))))
    return found


def _rungs(trials: Sequence[ObservedTrial]) -> list[int]:
    """Return the epochs at which trials were stopped, thinned; all were reached by someone else."""
    stopped = sorted(
        {len(each.curve) for each in trials if each.value is None and not each.diverged}
    )
    if len(stopped) <= _RUNGS:
        return stopped
    places = np.linspace(0, len(stopped) - 1, _RUNGS).round().astype(int)
    return [stopped[place] for place in places]


def _inside(values: Matrix, *, share: bool) -> Matrix:
    if not share:
        return np.log(np.maximum(values, 1e-6))
    clipped = np.clip(values, _EDGE, 1 - _EDGE)
    return np.log(clipped / (1 - clipped))


def _outside(values: Matrix, *, share: bool) -> Matrix:
    found: Matrix = np.exp(values) if not share else 1 / (1 + np.exp(-values))
    return found
