"""Searches with a known truth: simulated training curves with the real samplers and pruners.

The accuracy of a configuration is a function of its parameters, with the difficulties of real
searches: a learning rate that diverges if it is large (together with momentum), or learns too
slowly; batch sizes and widths that change how fast a network learns; a conditional space; noise of
seeds and of epochs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpsearch.reporting.analysis.observations import AnalysisData, ObservedTrial
from hpsearch.reporting.analysis.parameters import with_branches
from hpsearch.search.history import TrialHistory, distribution_of
from hpsearch.search.pruning.pruners import PRUNERS, EpochScore
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.samplers.sampler import Request
from hpsearch.study_file.space import Branch, Choice, Group, Range, Space

CHANCE, IMAGES = 0.1, 2000

#: A typical search space: geometry, optimizer with its own parameters, regularization.
SPACE = Space(
    Group(
        {
            "data": Group({"flip": Choice((False, True))}),
            "model": Branch(
                {
                    "plain": Group({"dropout": Range(low=0.0, high=0.5)}),
                    "residual": Group({"blocks": Choice((1, 2, 3))}),
                }
            ),
            "width": Choice((16, 32, 64)),
            "kernel": Range(low=2, high=5, integer=True),
            "dilation": Range(low=1, high=3, integer=True),
            "optimizer": Branch(
                {
                    "sgd": Group(
                        {
                            "lr": Range(low=1e-3, high=0.5, log=True),
                            "momentum": Range(low=0.6, high=0.95),
                        }
                    ),
                    "adam": Group({"lr": Range(low=1e-4, high=1e-2, log=True)}),
                }
            ),
            "weight_decay": Range(low=1e-5, high=1e-2, log=True),
            "batch_size": Choice((16, 32, 64, 128)),
        }
    )
)

#: Parameters without effect, in every world.
IDLE = ("data.flip", "model.plain.dropout", "weight_decay")

Params = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class World:
    """A known truth, and how it is searched."""

    name: str
    sampler: str = "tpe"
    pruner: str = "asha"
    trials: int = 120
    epochs: int = 27
    #: Effect of the width on the logit of the final accuracy.
    width: float = 0.25
    dilation: float = 0.25
    kernel: float = 0.2
    #: How much more dilation helps with the smallest kernel than with the largest one.
    interaction: float = 0.0
    residual: float = 0.3
    adam: float = 0.15
    batch: float = 0.1
    #: How much too small and too large learning rates cost, and whether the largest diverge.
    rates: float = 1.0
    diverges: bool = True
    #: Noise of a seed, in the logit, and of an epoch, in the accuracy (besides that of the images).
    luck: float = 0.03
    wobble: float = 0.004


WORLDS = (
    World(name="additive, random, no pruning", sampler="random", pruner="none"),
    World(name="additive, TPE + ASHA"),
    World(name="interaction, TPE + ASHA", interaction=1.0),
    World(name="nothing matters, TPE + ASHA", width=0, dilation=0, kernel=0, residual=0, adam=0,
          batch=0, rates=0, diverges=False),
    World(name="learning rate alone, TPE + ASHA", width=0, dilation=0, kernel=0, residual=0,
          adam=0, batch=0),
    World(name="additive, random + ASHA", sampler="random"),
    World(name="additive, TPE + median", pruner="median"),
    World(name="40 trials, TPE + ASHA", trials=40, epochs=9),
    World(name="400 trials, TPE + ASHA", trials=400),
    World(name="interaction, random, no pruning", sampler="random", pruner="none", interaction=1.0),
)  # fmt: skip


def final(world: World, params: Params) -> float:
    """Return the mean final accuracy of a configuration, 0..1."""
    if _diverges(world, params):
        return CHANCE
    logit = 1.2 + world.width * {16: -1, 32: 0, 64: 0.6}[params["width"]]
    logit += world.dilation * {1: 0, 2: 1, 3: 0.7}[params["dilation"]]
    logit += world.kernel * {2: 0, 3: 0.8, 4: 1, 5: 0.6}[params["kernel"]]
    helped = world.interaction * (5 - params["kernel"]) / 3
    logit += helped * {1: -0.5, 2: 0.5, 3: 0.5}[params["dilation"]]
    logit += world.residual * (params["model"] == "residual")
    logit += world.batch * {16: 0.5, 32: 1, 64: 0.5, 128: 0}[params["batch_size"]]
    if params["optimizer"] == "adam":
        logit += world.adam
        distance = math.log10(params["optimizer.adam.lr"] / 1e-3)
    else:
        effective = params["optimizer.sgd.lr"] / (1 - params["optimizer.sgd.momentum"])
        distance = math.log10(effective / 0.2) / 1.3
    logit -= world.rates * distance**2
    return CHANCE + (1 - CHANCE) / (1 + math.exp(-logit))


def train(world: World, params: Params, rng: np.random.Generator) -> list[float]:
    """Return the accuracy after each epoch of one training."""
    if _diverges(world, params):
        shares = rng.binomial(IMAGES, CHANCE, world.epochs) / IMAGES
        return [float(share) for share in shares]
    mean = final(world, params)
    logit = math.log((mean - CHANCE) / (1 - mean)) + rng.normal(0, world.luck)
    end = CHANCE + (1 - CHANCE) / (1 + math.exp(-logit))
    pace = {16: 1.5, 32: 2.0, 64: 3.0, 128: 4.5}[params["batch_size"]] * world.epochs / 27
    pace *= {16: 0.8, 32: 1.0, 64: 1.3}[params["width"]]
    pace *= 0.7 if params["optimizer"] == "adam" else 1.0
    epochs = np.arange(1, world.epochs + 1)
    grown = 1 - np.exp(-((epochs / pace) ** 0.7))
    # Scaled to end at `end`: incomplete learning is part of a configuration's true accuracy
    curve = CHANCE + (end - CHANCE) * grown / grown[-1]
    noisy_curve = curve + rng.normal(0, world.wobble, len(epochs))
    shares = rng.binomial(IMAGES, np.clip(noisy_curve, 0, 1)) / IMAGES
    return [float(share) for share in shares]


def search(world: World, seed: int) -> AnalysisData:
    """Search ``world`` with its sampler and pruner, one trial after the other."""
    rng = np.random.default_rng([seed, 1])
    # These searches run trials one after the other to their ends, so the pruner can't promote
    stopping = {"stop": True} if world.pruner == "asha" else {}
    sampler, pruner = SAMPLERS[world.sampler].build(), PRUNERS[world.pruner].build(**stopping)
    peers = _Peers()
    frozen: list[FrozenTrial] = []
    trials: list[ObservedTrial] = []
    history = _History()
    for number in range(world.trials):
        draw = sampler.draw(
            Request(
                space=SPACE,
                history=history,
                seed=int(rng.integers(2**31)),
                study_seed=seed,
                fixed={},
                point=None,
                trials=frozen,
            )
        )
        if draw is None:
            break
        curve = train(world, draw.params, rng)
        ran: list[float] = []
        for epoch, score in enumerate(curve, start=1):
            ran.append(score)
            peers.add(number, epoch, score)
            report = EpochScore(
                ticket=number + 1, epoch=epoch, epochs=world.epochs, score=score,
                best_score=max(ran),
            )  # fmt: skip
            if epoch < world.epochs and pruner(report, peers.without(number)):
                break
        complete = len(ran) == world.epochs
        peers.complete[number] = complete
        frozen.append(_frozen(number, draw.params, ran, complete))
        trials.append(
            ObservedTrial(
                number=number,
                params=dict(draw.params),
                curve=tuple(ran),
                value=ran[-1] if complete else None,
            )
        )
    return AnalysisData(
        metric="val_accuracy",
        maximize=True,
        epochs_per_trial=world.epochs,
        parameters=with_branches(SPACE.parameters()),
        trials=trials,
    )


def _diverges(world: World, params: Params) -> bool:
    if not world.diverges or params["optimizer"] != "sgd":
        return False
    return bool(params["optimizer.sgd.lr"] / (1 - params["optimizer.sgd.momentum"]) > 2.5)


class _Peers:
    """The other trials' scores at an epoch, for the pruners."""

    def __init__(self) -> None:
        self.scores: dict[int, dict[int, float]] = {}
        self.complete: dict[int, bool] = {}
        self.asking = -1

    def add(self, number: int, epoch: int, score: float) -> None:
        self.scores.setdefault(epoch, {})[number] = score

    def without(self, number: int) -> _Peers:
        self.asking = number
        return self

    def scores_at(self, epoch: int, *, completed_only: bool = False) -> dict[int, float]:
        return {
            number: score
            for number, score in self.scores.get(epoch, {}).items()
            if number != self.asking and (not completed_only or self.complete.get(number))
        }


class _History(TrialHistory):
    def __init__(self) -> None:
        self.directions = (StudyDirection.MAXIMIZE,)
        self.study_id = 1

    def prior_trials(self, space: Space) -> list[FrozenTrial]:
        """Return no prior results: a made-up search has none."""
        return []


def _frozen(number: int, params: Params, curve: Sequence[float], complete: bool) -> FrozenTrial:
    distributions: dict[str, BaseDistribution] = {path: _DISTRIBUTIONS[path] for path in params}
    return FrozenTrial(
        number=number,
        trial_id=number + 1,
        state=TrialState.COMPLETE if complete else TrialState.PRUNED,
        value=curve[-1],
        datetime_start=None,
        datetime_complete=None,
        params=dict(params),
        distributions=distributions,
        user_attrs={},
        system_attrs={},
        intermediate_values={len(curve): curve[-1]},
    )


_DISTRIBUTIONS = {
    path: distribution_of(parameter) for path, parameter in SPACE.parameters().items()
}
