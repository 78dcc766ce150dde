"""Whatever valid space is written: its draws lie inside, and freezing gives the draw back.

Hypothesis writes study files over the test registries. What a draw must look like is told by a
second reading of the written file (``inside``), which knows nothing of the code under test.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpsearch.errors import StudyFileError
from hpsearch.study_file.freezing import freeze, to_yaml
from hpsearch.study_file.space import Choice, Range

# The keys of the test registries (conftest.py), written a second time: what each accepts


def integers(low: int, high: int) -> st.SearchStrategy[Any]:
    value = st.integers(low, high)

    @st.composite
    def a_range(draw):
        start = draw(st.integers(low, high - 1))
        form = draw(st.sampled_from(["plain", "step", "log"]))
        if form == "step":
            step = draw(st.integers(1, high - start))
            steps = draw(st.integers(1, (high - start) // step))
            return {"min": start, "max": start + steps * step, "step": step}
        written = {"min": start, "max": draw(st.integers(start + 1, high))}
        return {**written, "log": True} if form == "log" and start > 0 else written

    return st.one_of(value, a_range(), values(value))


def floats(low: float, high: float, *, exclusive: bool = False) -> st.SearchStrategy[Any]:
    value = st.floats(low, high, exclude_min=exclusive, exclude_max=True, allow_subnormal=False)

    @st.composite
    def a_range(draw):
        a, b = sorted(draw(st.lists(value, min_size=2, max_size=2, unique=True)))
        form = draw(st.sampled_from(["plain", "step", "log"]))
        if form == "step":
            a, count = draw(st.integers(1, 20)), draw(st.integers(1, 20))
            # Hundredths as a person writes them: 0.07 to 0.27 in steps of 0.02
            step = draw(st.integers(1, 4))
            top = a + count * step
            if top / 100 < high:
                return {"min": a / 100, "max": top / 100, "step": step / 100}
            return a / 100
        return (
            {"min": a, "max": b, "log": True} if form == "log" and a > 0 else {"min": a, "max": b}
        )

    return st.one_of(value, a_range(), values(value))


def values(items: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    # 0.0 and -0.0 are one value
    listed = st.lists(items, min_size=1, max_size=4, unique_by=lambda v: v if v != 0 else 0.0)
    return listed.map(lambda values: {"values": values})


def lists_of(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    one = st.lists(items, max_size=3)
    several = st.lists(one, min_size=1, max_size=3, unique_by=tuple)
    return st.one_of(one, several.map(lambda values: {"values": values}))


def some_keys(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


def branch(**options: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=options).filter(bool)


BOOLEANS = st.one_of(st.booleans(), values(st.booleans()))
ACTIVATION = branch(relu=st.just({}), leaky_relu=some_keys(slope=floats(0, 2, exclusive=True)))
CONV = some_keys(channels=integers(1, 64), kernel_size=integers(1, 7), dilation=integers(1, 3))
SPACE = {
    "data": st.fixed_dictionaries(
        {
            "source": branch(
                digits=st.none(), cifar10=some_keys(train_batches=lists_of(st.integers(1, 5)))
            )
        },
        optional={
            "validation": st.one_of(floats(0, 1, exclusive=True), integers(1, 500)),
            "input_size": st.one_of(st.none(), integers(4, 99), st.just({"values": [None, 8]})),
            "augmentation": some_keys(
                horizontal_flip=st.one_of(BOOLEANS, some_keys(probability=floats(0, 1))),
                random_crop=st.one_of(BOOLEANS, some_keys(padding=integers(1, 8))),
            ),
        },
    ),
    "model": branch(
        mlp=some_keys(
            hidden=lists_of(st.integers(1, 512)), dropout=floats(0, 1), activation=ACTIVATION
        ),
        conv_net=some_keys(
            conv1=CONV,
            conv2=CONV,
            padding=st.one_of(st.just("same"), values(st.sampled_from(["same", "valid"]))),
            head=st.one_of(st.none(), CONV),
            final=st.one_of(st.none(), ACTIVATION),
        ),
    ),
    "optimizer": branch(
        sgd=st.fixed_dictionaries(
            {"lr": floats(0, 1, exclusive=True)},
            optional={"momentum": floats(0, 1), "nesterov": BOOLEANS},
        ),
        adam=some_keys(lr=floats(0, 1, exclusive=True)),
    ),
}
STUDIES = st.fixed_dictionaries(
    {"study": st.just("s"), "budget": st.just({"trials": 3, "epochs_per_trial": 2}), **SPACE},
    optional={
        "description": st.text(st.characters(exclude_categories=["C"]), max_size=30),
        "lr_schedule": branch(
            constant=st.none(), exponential=some_keys(gamma=floats(0, 1, exclusive=True))
        ),
        "batch_size": integers(1, 300),
    },
)


# The same files each time; `max_examples=10_000, derandomize=False` looks further
FEW = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def inside(written: Any, point: Any, where: str = "") -> None:
    """Check that ``point`` is a point of what is ``written``; what isn't written is a default."""
    if not isinstance(written, dict):
        if where.count(".") == 1 and written is None:
            return  # `digits:` stands for {}
        assert point == written, where
    elif "values" in written:
        assert point in written["values"], where
    elif "min" in written:
        assert written["min"] <= point <= written["max"], where
        ends_are_integers = isinstance(written["min"], int) and isinstance(written["max"], int)
        if ends_are_integers:
            assert type(point) is int, where
        if "step" in written:
            steps = (point - written["min"]) / written["step"]
            assert math.isclose(steps, round(steps), abs_tol=1e-6), where
    elif where in BRANCHES:
        ((name, settings),) = point.items()
        assert name in written, where
        for key, value in (written[name] or {}).items():
            inside(value, settings[key], f"{where}.{name}.{key}")
    else:
        for key, value in written.items():
            inside(value, point[key], f"{where}.{key}".lstrip("."))


BRANCHES = {
    "data.source",
    "model",
    "optimizer",
    "lr_schedule",
    "model.mlp.activation",
    "model.conv_net.final",
}


def at_random(seed: int):
    """Return a sampler that knows a parameter's kind alone."""
    rng = random.Random(seed)

    def suggest(path: str, parameter: Range | Choice):
        if isinstance(parameter, Choice):
            return rng.choice(parameter.labels)
        if parameter.step is not None and not parameter.log:
            count = round((parameter.high - parameter.low) / parameter.step)
            return min(parameter.low + rng.randint(0, count) * parameter.step, parameter.high)
        if parameter.integer:
            return rng.randint(parameter.low, parameter.high)
        return rng.uniform(parameter.low, parameter.high)

    return suggest


@FEW
@given(document=STUDIES, seed=st.integers(0, 2**32))
def test_every_space(reload_any, document, seed):
    study = reload_any(document)
    assert reload_any(json.loads(json.dumps(study.document))) == study

    draw = study.space.draw(at_random(seed))
    inside({key: document[key] for key in draw.config if key in document}, draw.config)
    # In the same order: each question takes its random number
    params = study.space.draw_params(at_random(seed))
    assert list(params.items()) == list(draw.params.items())
    assert [type(value) for value in params.values()] == [type(v) for v in draw.params.values()]
    parameters = study.space.parameters()
    assert set(draw.params) <= set(parameters)
    for path, value in draw.params.items():
        assert parameters[path].contains(value), path
    assert study.space.freeze(draw.params) == draw
    assert study.is_frozen == (not parameters)

    text = to_yaml(freeze(study, draw.params, {"trial": 3}), "A comment")
    frozen = reload_any(text)
    assert frozen.is_frozen
    assert frozen.space.draw(at_random(0)).config == draw.config
    assert frozen.description == study.description
    assert to_yaml(freeze(frozen, {}, frozen.provenance), "A comment") == text


@FEW
@given(document=STUDIES, seed=st.integers(0, 2**32))
def test_every_draw_may_be_tried_first(reload_any, document, seed):
    study = reload_any(document)
    draw = study.space.draw(at_random(seed))
    again = reload_any({**document, "try_first": [draw.config]})
    assert again.try_first == (draw.params,)
    assert reload_any(again.document) == again


#: Pieces of YAML that stand well in one place of a study file and badly in most
WRITTEN = """
{} [] null true 3 -1 1.5 x '' [1] [{}] {a:} {min:1,max:2} {min:2,max:1}
{min:.inf,max:1} {min:{},max:[]} {min:1,max:2,step:1e-9} {min:1e300,max:1e308}
{log:true} {values:[1,x,1]} {values:{}} {values:[[1],{a:1}]} {mlp:,relu:}
{sgd:{lr:x}} &a *a !x 1e400 99999999999999999999999999
"""
PIECES = [piece.replace(":", ": ") for piece in WRITTEN.split()]
PATHS = [
    "data",
    "data.source",
    "data.validation",
    "data.validation.min",
    "data.augmentation",
    "data.augmentation.random_crop",
    "model",
    "model.mlp",
    "model.mlp.hidden",
    "model.mlp.activation",
    "model.conv_net.head",
    "model.conv_net.final",
    "optimizer.sgd.lr",
    "lr_schedule.step.gamma",
    "objective",
    "budget",
    "budget.time",
    "sampler",
    "pruner.asha",
    "plugins",
    "try_first",
    "provenance",
    "study",
    "seed",
    "regularization",
    "regularization.l2",
    "class_weights",
    "early_stopping",
    "early_stopping.patience",
    "precision",
    "evaluate",
]


@settings(parent=FEW, max_examples=200)
@given(
    changes=st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(PIECES)), max_size=3),
    first=st.sampled_from(PIECES),
)
def test_nothing_that_is_written_gives_a_traceback(load_any, changes, first):
    text = (
        "study: s\nbudget: {trials: 4, epochs_per_trial: 2}\ndata: {source: digits}\n"
        "model: {mlp: , conv_net: }\noptimizer: {sgd: {lr: {min: 0.1, max: 0.2}}}\n"
        f"try_first: [{{model: {first}}}]\n"
    )
    with contextlib.suppress(StudyFileError):
        study = load_any(text, *(f"{path}={piece}" for path, piece in changes))
        study.space.draw(at_random(0))
