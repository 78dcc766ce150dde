"""The root of the schema: the top-level keys of a study file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from hpsearch.metric_registry import METRICS, spelled
from hpsearch.metrics import COSTS, OBJECTIVES, Direction
from hpsearch.registry import Component
from hpsearch.study_file import durations
from hpsearch.study_file.goals import MOST_OBJECTIVES, parse_constraint, read_constraint
from hpsearch.study_file.question_key import RULE as QUESTION
from hpsearch.study_file.schema import (
    AUTO,
    ComponentChoice,
    EitherOr,
    Matching,
    Raw,
    Registries,
    Schema,
    Section,
    Switches,
    Value,
)
from hpsearch.study_file.shipped import SHIPPED, SUFFIX
from hpsearch.study_file.trial_config import LARGEST_INPUT, ClassWeights, Evaluate, Precision

STUDY_NAME = r"^[A-Za-z0-9_-]{1,64}$"


def _one_of(names: Any) -> Any:
    return Literal[tuple(names)]


#: The sections whose values may be searched.
SEARCHED = (
    "data",
    "model",
    "optimizer",
    "lr_schedule",
    "regularization",
    "class_weights",
    "batch_size",
)
#: The sections of a point of the space: ``SEARCHED`` and those that are the same for every trial.
SPACE = (*SEARCHED, "early_stopping", "precision", "evaluate")
#: In place of these, a study may have a training loop of its own.
LOOP = "loop"

_InputSize = Annotated[int, Field(ge=1, le=LARGEST_INPUT)]
_Positive = Annotated[int, Field(ge=1)]
_Fraction = Annotated[float, Field(gt=0, lt=1)]
_PerChannel = Annotated[list[float], Field(min_length=1)]


_Constraint = Annotated[str, AfterValidator(lambda text: str(read_constraint(text)))]


def _check_distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("each name once")
    return names


def _check_deviations(normalization: dict[str, list[float]]) -> dict[str, list[float]]:
    if min(normalization["std"]) <= 0:
        raise ValueError("each std is above 0")
    return normalization


_Normalization = (
    Literal["measured", "raw", "unit", "symmetric"]
    # Both keys, and no other
    | Annotated[
        dict[Literal["mean", "std"], _PerChannel],
        Field(min_length=2),
        AfterValidator(_check_deviations),
    ]
)


#: An earlier study whose result is used for the keys that the file leaves out (see ``inherit``).
FROM = Section(
    shorthand="study",
    nullable=True,
    default=None,
    keys={
        "study": Value(
            type=Annotated[str, Field(min_length=1)],
            rule="the name of a stored study, or the path of a frozen file",
        ),
        "trial": Value(type=Annotated[int, Field(ge=0)] | None, default=None),
    },
)


def _searched_sgd(low: float, high: float) -> dict[str, Any]:
    """Return SGD with Nesterov momentum, whose learning rate is searched between two bounds."""
    rate = {"min": low, "max": high, "log": True}
    return {"sgd": {"lr": rate, "momentum": 0.9, "nesterov": True}}


#: Sections by the name of a recipe (see ``recipes``): one component per section. A recipe is here
#: only if ``benchmarks.recipes`` measured it (docs/recipes.md).
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "fast": {
        "model": {"airbench": {"width": 16}},
        "optimizer": _searched_sgd(0.1, 1.0),
        "lr_schedule": {"cosine": {}},
        "batch_size": 64,
        "evaluate": "ema",
    },
    "from_scratch": {
        "data": {"augmentation": {"alternating_flip": {}, "random_crop": {"padding": 2}}},
        "model": {"airbench": {"width": 16}},
        "optimizer": _searched_sgd(0.1, 1.0),
        "lr_schedule": {"cosine": {}},
        "regularization": {"label_smoothing": {}},
        "batch_size": 64,
        "evaluate": "ema",
    },
    "finetune": {
        "optimizer": _searched_sgd(0.01, 0.2),
        "lr_schedule": {"one_cycle": {}},
        "batch_size": 32,
        "evaluate": "ema",
    },
}

#: Recipes for models whose weights were trained before; the file names the model.
NEED_WEIGHTS = frozenset({"finetune"})


#: Default number of finalists of a confirmation, and of the fresh seeds that choose among them.
TOP, SEEDS = 6, 5

#: The plan of a confirmation lists every round.
MOST_SEEDS = 1_000

#: Most models of one trial: all of them are in memory at once.
MOST_ROUNDS = 100

#: How the winner is confirmed. The search doesn't use it, so it may change at any time.
CONFIRM = Section(
    nullable=True,
    default=None,
    keys={
        "top": Value(type=Annotated[int, Field(ge=1)], default=TOP),
        "seeds": Value(
            type=Annotated[int, Field(ge=2, le=MOST_SEEDS)],
            default=SEEDS,
            rule=f"a number of seeds from 2 (one alone doesn't show the spread) to {MOST_SEEDS:,}",
        ),
        "share": Value(
            type=Annotated[float, Field(gt=0)] | None,
            default=None,
            rule="a share of the search's epochs above 0 (0.5 is half of them), or null: no limit",
        ),
    },
)


def _a_prior(path: Path) -> Path:
    if path.suffix != SUFFIX:
        raise ValueError(f"the path of a prior's file must end in {SUFFIX}")
    return path


#: The prior of a search. A document without this key was stored by an earlier version, and its
#: search continues without a prior.
SEARCH = Section(
    keys={
        "prior": Value(
            type=_one_of((AUTO, "none", "rule", *SHIPPED))
            | Annotated[Path, AfterValidator(_a_prior)],
            default=AUTO,
            rule=f"auto, none, rule, {', '.join(SHIPPED)}, or the path of a {SUFFIX} file",
        ),
        # hpsearch adds it to the stored document: the hash of the prior's file
        "sha256": Value(type=str | None, default=None, silent=True),
    },
)


#: ``search`` of a document that lacks it.
NO_HELP = {"prior": "none"}


def space_of(schema: Section) -> tuple[str, ...]:
    """Return the sections of a point of the space, of a study file with this root schema."""
    return (LOOP,) if LOOP in schema.keys else SPACE


def loop_schema(registries: Registries, metrics: Mapping[str, Direction]) -> Section:
    """Return the schema of a study file with a training loop of its own.

    Args:
        registries: The components that the file may name.
        metrics: The file's ``metrics``: what the loop yields, with the direction that is better.

    Raises:
        TypeError: The root schema has changed, and this function hasn't.
    """
    root = root_schema(registries)
    names = tuple(metrics)
    listed = f"one of this study's `metrics` ({', '.join(names)})"
    one = _one_of(names) if names else str
    objective, objectives = root.keys["objective"], root.keys["objectives"]
    if not isinstance(objective, Section) or not isinstance(objectives, Section):
        raise TypeError("objective and objectives must be sections")
    first = names[0] if names else ""

    def check(text: str) -> str:
        constraint = parse_constraint(text)
        if constraint.name not in (*names, "epoch_seconds"):
            raise ValueError(f"a constraint names {listed} or epoch_seconds")
        return str(constraint)

    loop_keys: dict[str, Schema] = {
        "objective": replace(
            objective,
            keys={**objective.keys, "metric": Value(type=one, default=first, rule=listed)},
        ),
        "objectives": replace(
            objectives,
            keys={
                **objectives.keys,
                "metrics": Value(
                    type=_several_of(one | Literal["epoch_seconds"]),
                    rule=f"a list of 2 to {MOST_OBJECTIVES}, each {listed} or epoch_seconds",
                ),
            },
        ),
        "prune_on": Value(type=one | None, default=None, rule=f"{listed}, or null"),
        "metrics": Value(
            type=Annotated[dict[str, Direction], Field(min_length=1)],
            rule="a mapping of what the loop yields to maximize or minimize: {val_dice: maximize}",
        ),
        "constraints": Value(type=list[Annotated[str, AfterValidator(check)]], default=[]),
        LOOP: ComponentChoice(registry=registries["loop"]),
    }
    common_keys = {key: sub for key, sub in root.keys.items() if key not in SPACE}
    return Section(searched=frozenset({LOOP}), keys={**common_keys, **loop_keys})


def root_schema(registries: Registries) -> Section:
    """Return the schema of a study file with the components of ``registries``."""
    budget = Section(
        keys={
            "trials": Value(type=_Positive),
            "epochs_per_trial": Value(type=_Positive),
            "time": Value(
                type=durations.Duration | None,
                default=None,
                rule=f"{durations.RULE}, or null",
            ),
            "trial_timeout": Value(type=durations.Duration, default="30m", rule=durations.RULE),
            "stop": Value(
                type=Literal["auto"] | None,
                default=None,
                silent=True,
                rule="auto (the study ends by itself), or null",
            ),
        }
    )
    objective = Section(
        shorthand="metric",
        keys={
            "metric": Value(
                type=_metric(), default="val_accuracy", rule=f"one of {', '.join(spelled())}"
            ),
            "at": Value(type=Literal["last", "best"], default="last"),
        },
    )
    objectives = Section(
        shorthand="metrics",
        nullable=True,
        default=None,
        keys={
            "metrics": Value(
                type=_several_of(_metric(costs=True)),
                rule=f"a list of 2 to {MOST_OBJECTIVES} different names of "
                f"{', '.join(spelled(costs=True))} (for one, write `objective`)",
            ),
            "at": Value(type=Literal["last", "best"], default="last"),
        },
    )
    data = Section(
        keys={
            "source": ComponentChoice(registry=registries["source"], paths=True),
            "validation": Value(
                type=_Fraction | _Positive,
                default=0.2,
                rule="a fraction of the training images (0 < x < 1) or a number of them (1, 2, ..)",
            ),
            "folds": _rounds("a number of folds"),
            "splits": _rounds("a number of splits"),
            "input_size": Value(type=_InputSize | None, default=None),
            "limit": Value(type=_Positive | None, default=None),
            "per_class": Value(type=_Positive | None, default=None),
            "normalization": Value(
                type=_Normalization,
                default="measured",
                rule="measured, raw, unit, symmetric, or {mean: [..], std: [..]} with a number per "
                "channel (of pixels from 0 to 1; each std above 0)",
            ),
            "augmentation": Switches(registry=registries["augmentation"]),
        },
        either_or=(
            EitherOr(
                keys=("validation", "folds"),
                rule="`folds` determines which images validate: those of each fold in turn",
            ),
            EitherOr(
                keys=("folds", "splits"),
                rule="a trial is trained either on folds or on repeated splits",
            ),
        ),
    )
    early_stopping = Section(
        nullable=True,
        default=None,
        keys={
            "patience": Value(type=_Positive),
            "min_delta": Value(type=Annotated[float, Field(ge=0)], default=0.0),
        },
    )
    return Section(
        searched=frozenset(SEARCHED),
        others=(LOOP,),
        keys={
            "study": Value(
                type=Annotated[str, Field(pattern=STUDY_NAME)],
                rule="a name of 1 to 64 letters, digits, _ and -",
            ),
            "description": Value(type=str, default=""),
            # Stored only if it is given, so that earlier documents keep their form
            "question": Value(
                type=str | dict[str, str | list[str]], default="", silent=True, rule=QUESTION
            ),
            "seed": Value(type=Annotated[int, Field(ge=0, lt=2**32)], default=0),
            "objective": objective,
            "objectives": objectives,
            "prune_on": Value(
                type=_metric() | None, default=None, rule=f"one of {', '.join(spelled())}, or null"
            ),
            # Stored with the directions of a plug-in's metrics, so that the study is read without
            # the plug-in
            "metrics": Value(
                type=dict[str, Direction] | None,
                default=None,
                silent=True,
                rule="a mapping of names to maximize or minimize",
            ),
            "constraints": Value(type=list[_Constraint], default=[]),
            "budget": budget,
            "confirm": CONFIRM,
            "sampler": ComponentChoice(
                registry=registries["sampler"], default=Component("forest"), automatic=True
            ),
            "pruner": ComponentChoice(
                registry=registries["pruner"], default=Component("asha"), automatic=True
            ),
            "pruner_audit": Value(
                type=Annotated[float, Field(ge=0, le=1)],
                default=0.03,
                rule="a share of the trials, 0 to 1",
            ),
            "search": SEARCH,
            "trackers": Switches(registry=registries["tracker"], listed=True),
            "plugins": Raw(json_schema=_PLUGINS, default=[]),
            "from": FROM,
            "recipe": Value(type=_one_of(RECIPES) | None, default=None, silent=True),
            "found": Raw(json_schema={"type": ["object", "null"]}, for_people=False),
            "confirms": Raw(json_schema={"type": "null"}, for_people=False),
            "ablates": Raw(json_schema={"type": "null"}, for_people=False),
            "data": data,
            "model": ComponentChoice(registry=registries["model"]),
            "optimizer": ComponentChoice(registry=registries["optimizer"]),
            "lr_schedule": ComponentChoice(
                registry=registries["lr_schedule"], default=Component("constant")
            ),
            "regularization": Switches(registry=registries["regularizer"]),
            "class_weights": Value(type=ClassWeights, default="none"),
            "batch_size": Value(type=_Positive, default=32),
            "early_stopping": early_stopping,
            "precision": Value(type=Precision, default="auto"),
            "evaluate": Value(type=Evaluate, default="weights"),
            "try_first": Raw(
                json_schema={"type": "array", "items": {"type": "object"}}, default=[]
            ),
            "provenance": Raw(json_schema={"type": "object"}, for_people=False),
        },
    )


_PLUGINS = {
    "type": "array",
    "items": {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {"path": {"type": "string"}, "sha256": {"type": "string"}},
                "required": ["path"],
                "additionalProperties": False,
            },
        ]
    },
}


def single_split(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document's ``data`` without ``splits``; ``folds`` stays."""
    return {key: value for key, value in data.items() if key != "splits"}


def _rounds(what: str) -> Value:
    return Value(
        type=Annotated[int, Field(ge=2, le=MOST_ROUNDS)] | None,
        default=None,
        rule=f"{what} from 2 to {MOST_ROUNDS}, or null",
        fixed=True,
        silent=True,
    )


def _metric(*, costs: bool = False) -> Any:
    """Return the type of a metric's name, a plug-in's included."""
    names = [name for name in METRICS.names() if not METRICS.is_of_class(name)]
    of_class = "|".join(name for name in METRICS.names() if METRICS.is_of_class(name))
    return (
        _one_of((*OBJECTIVES, *names, *(COSTS if costs else ())))
        | Annotated[str, Matching(rf"^({of_class})\(.+\)$", "a metric of one class: name(CLASS)")]
    )


def _several_of(name_type: Any) -> Any:
    size = Field(min_length=2, max_length=MOST_OBJECTIVES)
    return Annotated[list[name_type], size, AfterValidator(_check_distinct)]
