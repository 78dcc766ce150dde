"""A model of the study: extremely randomised trees over all trials, however far they have come.

The score of an unfinished trial is its newest value plus the usual gain from there on, so the model
learns from every trial, not only from complete ones. Trees need no scale, and handle branches and
unordered choices directly. (Geurts et al. 2006, "Extremely randomized trees"; Hutter et al. 2011,
"Sequential Model-Based Optimization for General Algorithm Configuration".)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import PositiveInt

from hpsearch.search.history_rows import EpochValues
from hpsearch.search.samplers.enumerated import at_unit
from hpsearch.search.samplers.model_based import optuna_tpe, startup_with
from hpsearch.search.samplers.sampler import SAMPLERS, Request, Sampler
from hpsearch.study_file.space import Choice, Draw, Parameter, Scalar, Space

Floats: TypeAlias = NDArray[np.float64]

#: The number of trees, and the least number of trials in a leaf.
TREES, LEAF = 40, 2

#: The most trials from which the trees grow.
MODELLED = 1000

#: Points that are compared: random ones, and neighbours of each of the best trials.
RANDOM_POINTS, NEIGHBOURS, BEST = 150, 40, 5

#: The distance of a neighbour's numbers, as a standard deviation in 0..1; and the probability that
#: a parameter differs.
NEAR, DIFFERS = 0.15, 0.4

#: One in so many draws stays random.
RANDOM_EVERY = 10

#: Weight of a point's uncertainty.
CURIOSITY = 0.5

#: Two points are the same if no number differs by more than this, in 0..1, and no choice differs.
#: If all points are the same as some trial's, the next value applies: the space is small, or
#: searched densely.
SAME = (0.05, 0.01, 0.0)


class Encoding:
    """Points of a space as rows of numbers: 0..1 on each parameter's own scale.

    An unordered choice has a column per value. A parameter that doesn't apply is -1.
    """

    def __init__(self, space: Space) -> None:
        self.width = 0
        self._ordered: dict[str, tuple[int, Callable[[Scalar], float]]] = {}
        self._unordered: dict[str, tuple[int, Choice]] = {}
        for path, parameter in space.parameters().items():
            if is_ordered(parameter):
                self._ordered[path] = self.width, scale_of(parameter)
                self.width += 1
            else:
                assert isinstance(parameter, Choice)
                self._unordered[path] = self.width, parameter
                self.width += len(parameter.values)

    def place(self, path: str, value: Scalar) -> float | None:
        """Return a value's position in 0..1; ``None`` if its parameter's values have no order."""
        ordered = self._ordered.get(path)
        return None if ordered is None else ordered[1](value)

    def row(self, params: Mapping[str, Scalar]) -> Floats:
        """Return one point's row, (width,)."""
        row = [-1.0] * self.width
        for path, value in params.items():
            if path in self._ordered:
                column, scale = self._ordered[path]
                row[column] = scale(value)
            elif path in self._unordered:
                begin, choice = self._unordered[path]
                row[begin : begin + len(choice.values)] = [0.0] * len(choice.values)
                row[begin + choice.labels.index(value)] = 1.0
        return np.array(row)

    def rows(self, points: Sequence[Mapping[str, Scalar]]) -> Floats:
        """Return a row per point, (points, width)."""
        return np.array([self.row(point) for point in points]).reshape(len(points), self.width)


def is_ordered(parameter: Parameter) -> bool:
    """Whether a parameter's values have an order."""
    if not isinstance(parameter, Choice):
        return True
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in parameter.values)


def scale_of(parameter: Parameter) -> Callable[[Scalar], float]:
    """Return a function that returns a value's position in 0..1 on its parameter's scale."""
    if isinstance(parameter, Choice):
        order = sorted(parameter.labels, key=float)  # type: ignore[arg-type]
        most = max(1, len(order) - 1)
        return lambda value: order.index(value) / most
    low, high, log = parameter.low, parameter.high, parameter.log
    if log:
        low, high = math.log(low), math.log(high)
    span = high - low
    if span <= 0:
        return lambda value: 0.0
    if log:
        return lambda value: (math.log(float(value)) - low) / span  # type: ignore[arg-type]
    return lambda value: (float(value) - low) / span  # type: ignore[arg-type]


class Forest:
    """Trees over the trials so far.

    Args:
        rows: (trials, width), as ``Encoding.rows``.
        targets: (trials,): scores, higher is better.
        seed: The seed of the first tree; the others count on from it.
    """

    def __init__(self, rows: Floats, targets: Floats, *, seed: int) -> None:
        from sklearn import config_context  # takes half a second: only here
        from sklearn.tree import ExtraTreeRegressor

        inputs = rows.astype(np.float32)
        # Checking the inputs again for each tree takes longer than growing it
        with config_context(skip_parameter_validation=True):
            self._trees = [
                ExtraTreeRegressor(
                    min_samples_leaf=LEAF, max_features=1.0, random_state=seed + number
                )
                .fit(inputs, targets, check_input=False)
                .tree_
                for number in range(TREES)
            ]

    def predict(self, rows: Floats) -> tuple[Floats, Floats]:
        """Return the mean and the standard deviation over the trees, each (rows,)."""
        inputs = rows.astype(np.float32)
        predictions = np.array([tree.predict(inputs)[:, 0] for tree in self._trees])
        return predictions.mean(axis=0), predictions.std(axis=0)


def growth(curves: EpochValues, marks: Sequence[int]) -> dict[int, float]:
    """Return epoch -> the median gain from there to the last epoch of ``marks``.

    Args:
        curves: The scores at the epochs in ``marks``.
        marks: Epochs, ascending.
    """
    gains, total = {marks[-1]: 0.0}, 0.0
    for low, high in reversed(list(pairwise(marks))):
        (before, first), (after, second) = curves[low], curves[high]
        _, in_first, in_second = np.intersect1d(
            before, after, assume_unique=True, return_indices=True
        )
        total += float(np.median(second[in_second] - first[in_first])) if len(in_first) else 0.0
        gains[low] = total
    return gains


def expected_ends(curves: EpochValues) -> Floats:
    """Return each trial's expected score at the end: its newest one plus the usual growth.

    Args:
        curves: The scores at every epoch that is the newest one of some trial.

    Returns:
        Scores by trial number (largest number + 1,); NaN for a trial without any.
    """
    most = max((int(numbers.max()) for numbers, _ in curves.values()), default=-1)
    last, ends = np.zeros(most + 1, np.int64), np.full(most + 1, np.nan)
    for epoch in sorted(curves):
        numbers, values = curves[epoch]
        last[numbers], ends[numbers] = epoch, values
    marks = sorted(set(last[last > 0].tolist()))
    for epoch, gain in growth(curves, marks).items() if marks else ():
        ends[last == epoch] += gain
    return ends


class ForestSampler:
    """Draws the point from which the trees expect most.

    Args:
        startup: The number of trials with results before which draws are random.
    """

    is_enumerated = False
    learns = True

    def __init__(self, startup: int) -> None:
        self._startup = startup
        # The trees model one score: TPE searches several objectives
        self._several = optuna_tpe(startup)

    def check(self, space: Space) -> None:
        """Accept every space."""

    def is_random(self, request: Request) -> bool:
        """Whether too few trials have results for the trees to learn from."""
        if len(request.history.directions) > 1:
            return self._several.is_random(request)
        return self._is_early(request, _examples(request))

    def _is_early(self, request: Request, examples: Sequence[FrozenTrial]) -> bool:
        prior_count = len(request.history.prior_trials(request.space))
        return len(examples) < startup_with(self._startup, prior_count)

    def draw(self, request: Request) -> Draw:
        """Return the most promising of some hundred points, or sometimes a random one."""
        if len(request.history.directions) > 1:
            return self._several.draw(request)
        rng = np.random.default_rng(request.seed)
        encoding, examples = Encoding(request.space), _examples(request)
        early = self._is_early(request, examples)
        if not encoding.width or early or rng.random() < 1 / RANDOM_EVERY:
            return request.space.freeze(_point(request, encoding, rng))
        scores = _scores(request, examples)
        indices = _model_indices(scores)
        rows = encoding.rows([examples[place].params for place in indices])
        forest = Forest(rows, scores[indices], seed=int(rng.integers(2**31 - TREES)))
        draws = [_point(request, encoding, rng) for _ in range(RANDOM_POINTS)]
        for place in np.argsort(-scores, kind="stable")[:BEST]:
            centre = examples[place].params
            draws += [_point(request, encoding, rng, centre) for _ in range(NEIGHBOURS)]
        points = encoding.rows(draws)
        mean, spread = forest.predict(points)
        tried = request.history.encoded(_trials(request), encoding.rows)
        order = np.argsort(-(mean + CURIOSITY * spread), kind="stable")
        for same in SAME:
            for place in order:
                if not _is_tried(tried, points[place], same):
                    return request.space.freeze(draws[int(place)])
        return request.space.freeze(draws[int(order[0])])


def _is_tried(tried: Floats, point: Floats, same: float) -> bool:
    """Whether a row differs from ``point`` by at most ``same`` in every column."""
    near = tried
    for column, value in enumerate(point):
        # The first columns leave few rows, so a copy of all columns isn't needed
        near = near[np.abs(near[:, column] - value) <= same]
    return len(near) > 0


def _trials(request: Request) -> list[FrozenTrial]:
    return request.history.refresh() if request.trials is None else request.trials


def _examples(request: Request) -> list[FrozenTrial]:
    """Return the trials to learn from: prior results, valid trials with a value, and bad ones."""
    invalid = request.history.invalid
    return [
        *request.history.prior_trials(request.space),
        *(
            trial
            for trial in _trials(request)
            if trial._trial_id not in invalid and (_is_bad(trial) or trial.last_step is not None)
        ),
    ]


def _is_bad(trial: FrozenTrial) -> bool:
    """Whether a trial failed, is infeasible, or breaks a constraint."""
    return trial.state == TrialState.FAIL or any(
        violation > 0 for violation in trial.constraints.values()
    )


def _scores(request: Request, examples: Sequence[FrozenTrial]) -> Floats:
    """Return the score of each trial in ``examples``; higher is better.

    Low scores are raised to a floor, so that the trees distinguish the good ones. Bad trials get
    the floor.
    """
    sign = 1.0 if request.history.directions[0] == StudyDirection.MAXIMIZE else -1.0
    curves = request.history.curves()
    ends = expected_ends({epoch: (numbers, sign * at) for epoch, (numbers, at) in curves.items()})
    scores: list[float | None] = []
    for trial in examples:
        if _is_bad(trial):
            scores.append(None)
        elif trial.last_step is None:  # a prior result, which has only a value
            scores.append(None if trial.value is None else sign * trial.value)
        else:
            end = ends[trial.number] if trial.number < len(ends) else math.nan
            scores.append(None if math.isnan(end) else float(end))
    values = [score for score in scores if score is not None]
    if not values:
        return np.zeros(len(examples))
    middle = median(values)
    # If all are equal, any distance separates the bad ones: trees have no scale
    floor = middle - (2 * (max(values) - middle) or 1.0)
    return np.array([floor if score is None else max(floor, score) for score in scores])


def _model_indices(scores: Floats) -> NDArray[np.intp]:
    """Return the indices of at most ``MODELLED`` trials: the best half, and others evenly."""
    order = np.argsort(-scores, kind="stable")
    if len(order) <= MODELLED:
        return np.sort(order)
    best, rest = order[: MODELLED // 2], np.sort(order[MODELLED // 2 :])
    stride = len(rest) / (MODELLED - len(best))
    share = rest[[int(place * stride) for place in range(MODELLED - len(best))]]
    return np.sort(np.concatenate([best, share]))


def _point(
    request: Request,
    encoding: Encoding,
    rng: np.random.Generator,
    centre: Mapping[str, Scalar] | None = None,
) -> Mapping[str, Scalar]:
    """Draw a point: near ``centre`` in the parameters that it has, otherwise at random.

    Args:
        request: The request to the sampler.
        encoding: The encoding of its space.
        rng: The generator for the draw.
        centre: Path -> stored value; ``None`` for a random point.

    Returns:
        The point: path -> stored value.
    """
    near = centre or {}

    def suggest(path: str, parameter: Parameter) -> Scalar:
        if path in request.fixed:
            return request.fixed[path]
        if path in near and rng.random() >= DIFFERS:
            return near[path]
        unit = float(rng.random())
        place = encoding.place(path, near[path]) if path in near else None
        if place is not None:
            at = place + NEAR * float(rng.normal())
            unit = min(max(at, 0.0), math.nextafter(1.0, 0.0))
        return at_unit(parameter, unit)

    return request.space.draw_params(suggest)


@SAMPLERS.register("forest")
def forest(*, startup_trials: PositiveInt = 10) -> Sampler:
    """Extremely randomised trees over all trials, however far each has come.

    The first ``startup_trials`` trials with results are random (prior results replace up to half of
    them). After that, one draw in ten is random; the others take the most promising of random
    points and neighbours of the best trials that wasn't tried before. ``tpe`` searches a study of
    several objectives.
    """
    return ForestSampler(startup_trials)
