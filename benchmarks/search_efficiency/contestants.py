"""The contestants: hpsearch with its defaults and other settings, plain rules, and Optuna."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler

from benchmarks.search_efficiency.ours import FastSearch, MemoryHistory
from benchmarks.search_efficiency.peers import OptunaSearch, ScreenThenTrain
from benchmarks.search_efficiency.simulation import Searcher
from benchmarks.search_efficiency.spaces import Recorded
from benchmarks.search_efficiency.table import Table
from hpsearch.study_file.space import (
    Branch,
    Choice,
    Confidence,
    Group,
    Guess,
    Node,
    Range,
    Space,
    join,
)
from hpsearch.study_file.study import StudyFile

#: Most configurations that are trained for one epoch first: a number, and a share of the table.
SCREENED, SCREENED_SHARE = 100, 0.75

#: Makes a searcher for a table and the number of a replay, which seeds it.
Make = Callable[[Table, int], Searcher]


def study_of(table: Table, seed: int, *search: str) -> StudyFile:
    """Return the table's study with a seed; ``search`` are changes of the file."""
    return replace(_study(table.recorded, search), seed=seed)


@lru_cache(maxsize=64)
def _study(recorded: Recorded, search: tuple[str, ...]) -> StudyFile:
    return recorded.study(search)


def ours(*search: str, reverse_prior: bool = False) -> Make:
    """Return hpsearch's search; ``search`` are ``path=value`` changes of the study file.

    With ``reverse_prior``, the prior prefers the configurations that it expects to be worst.
    """
    return lambda table, replay: FastSearch(
        table, study_of(table, replay, *search), reverse_prior=reverse_prior
    )


def guided(*search: str, best: bool, confidence: Confidence = "medium") -> Make:
    """Return hpsearch's search with a person's prior for every number and choice.

    Each prior is the value of one configuration, drawn for this parameter alone, so the priors
    together are no configuration of the table.

    Args:
        search: ``path=value`` changes of the study file.
        best: Whether the configurations are of the best fifth of the table, or of the worst.
        confidence: The confidence of all priors.
    """

    def make(table: Table, replay: int) -> Searcher:
        study = study_of(table, replay, *search)
        order = np.argsort(-table.truth if best else table.truth, kind="stable")
        fifth = [table.params[row] for row in order[: len(table) // 5]]
        rng = np.random.default_rng([replay, 23])
        guesses = {}
        for path, parameter in table.space.parameters().items():
            values = [params[path] for params in fifth if path in params]
            if values:
                stored = values[int(rng.integers(len(values)))]
                value = parameter.value_of(stored) if isinstance(parameter, Choice) else stored
                guesses[path] = Guess(value, confidence)
        return FastSearch(table, replace(study, space=Space(_guided(study.space.root, guesses))))

    return make


def _guided(group: Group, guesses: Mapping[str, Guess], path: str = "") -> Group:
    """Return a group of a space with these priors (path -> prior)."""
    children: dict[str, Node] = {}
    for key, child in group.children.items():
        here = join(path, key)
        match child:
            case Group():
                children[key] = _guided(child, guesses, here)
            case Branch(options):
                children[key] = Branch(
                    {
                        name: _guided(option, guesses, join(here, name))
                        for name, option in options.items()
                    }
                )
            case Range() | Choice():
                children[key] = replace(child, guess=guesses.get(here))
            case _:
                children[key] = child
    return Group(children)


def _screen(table: Table, replay: int) -> Searcher:
    chance = FastSearch(table, study_of(table, replay, "sampler=random", "search.prior=none"))
    history, tickets = MemoryHistory(), iter(range(1, len(table) + 1))

    def draw() -> int:
        row, _ = chance.draw(history, next(tickets))
        return row

    return ScreenThenTrain(table, draw, min(SCREENED, int(SCREENED_SHARE * len(table))))


def _optuna(pruner: Callable[[int], BasePruner], table: Table, replay: int) -> Searcher:
    sampler = TPESampler(seed=replay)
    return OptunaSearch(table, sampler, pruner(table.epochs), epochs=table.epochs)


#: The defaults of a study file, which ``whole_search`` names as well.
DEFAULTS = "hpsearch, defaults"
REVERSED = "hpsearch, defaults with a reversed prior"
RIGHT, WRONG = "defaults + right priors", "defaults + wrong priors"
WRONG_HIGH = f"{WRONG}, high"
MEDIAN, SCREEN = "Optuna TPE + Median", "1 epoch, then the best in full"

_STOPPING, _PROMOTION = ["pruner={asha: {stop: true}}"], ["pruner={asha: {stop: false}}"]
FOREST, _FOREST = "forest + promotion ASHA", ["sampler=forest", "search.prior=none", *_PROMOTION]

METHODS: Mapping[str, Make] = {
    DEFAULTS: ours(),
    REVERSED: ours(reverse_prior=True),
    RIGHT: guided(best=True),
    WRONG: guided(best=False),
    WRONG_HIGH: guided(best=False, confidence="high"),
    "random in full": ours("sampler=random", "search.prior=none", "pruner=none"),
    "random + stopping ASHA": ours("sampler=random", "search.prior=none", *_STOPPING),
    "random + promotion ASHA": ours("sampler=random", "search.prior=none", *_PROMOTION),
    "TPE + stopping ASHA": ours("sampler=tpe", "search.prior=none", *_STOPPING),
    "TPE + promotion ASHA": ours("sampler=tpe", "search.prior=none", *_PROMOTION),
    "rule + promotion ASHA": ours("sampler=random", "search.prior=rule", *_PROMOTION),
    "v1 + promotion ASHA": ours("sampler=random", "search.prior=v1", *_PROMOTION),
    FOREST: ours(*_FOREST),
    f"{FOREST} + right priors": guided(*_FOREST, best=True),
    f"{FOREST} + wrong priors": guided(*_FOREST, best=False),
    SCREEN: _screen,
    "Optuna TPE": partial(_optuna, lambda epochs: optuna.pruners.NopPruner()),
    MEDIAN: partial(_optuna, lambda epochs: MedianPruner()),
    "Optuna TPE + SuccessiveHalving": partial(
        _optuna, lambda epochs: SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    ),
    "Optuna TPE + Hyperband": partial(
        _optuna,
        lambda epochs: HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3),
    ),
}
