"""The search space: a tree of fixed values, ranges, choices, groups and branches.

A parameter is named by its path: ``optimizer.sgd.lr``, and ``optimizer`` itself if the file lists
several optimizers. So the parameters of branches never collide, and freezing a trial renames
nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

#: A value that Optuna stores as it is.
Scalar: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True)
class Fixed:
    """A value that isn't searched (JSON-like: scalars, lists, mappings)."""

    value: Any


#: How sure a person is of a prior.
Confidence: TypeAlias = Literal["low", "medium", "high"]

#: The keys of a range, a list of values or a branch that describe its prior.
PRIOR_KEYS = ("prior", "confidence")


@dataclass(frozen=True)
class Guess:
    """A person's guess of a parameter's best value: its prior."""

    value: Any
    confidence: Confidence = "medium"


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from ``low`` to ``high``, both included if ``step`` reaches ``high``."""

    low: float
    high: float
    #: Distance of two neighbours; ``None`` for a continuous float range (integers have a step).
    step: float | None = None
    #: Whether it is sampled on a logarithmic scale.
    log: bool = False
    integer: bool = False
    guess: Guess | None = None

    def contains(self, value: Scalar) -> bool:
        """Whether ``value`` is one of the range's numbers."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.integer and float(value) != int(value):
            return False
        if not self.low <= value <= self.high:
            return False
        if self.step is None or self.log:
            return True
        steps = (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-8)


@dataclass(frozen=True)
class Choice:
    """One of several values, in the file's order."""

    values: tuple[Any, ...]
    guess: Guess | None = field(default=None, kw_only=True)

    @cached_property
    def labels(self) -> tuple[Scalar, ...]:
        """The values as Optuna stores them: lists and mappings as compact JSON text."""
        return tuple(label(value) for value in self.values)

    def value_of(self, stored: Scalar) -> Any:
        """Return the value of a label.

        Raises:
            ValueError: There is no such label.
        """
        for own_label, value in zip(self.labels, self.values, strict=True):
            if type(own_label) is type(stored) and own_label == stored:
                return value
        raise ValueError(f"{stored!r} is not one of {list(self.labels)}")

    def contains(self, stored: Scalar) -> bool:
        """Whether ``stored`` is one of the labels."""
        return any(
            type(own_label) is type(stored) and own_label == stored for own_label in self.labels
        )


@dataclass(frozen=True)
class Group:
    """Named nodes that all apply."""

    children: Mapping[str, Node]


@dataclass(frozen=True)
class Branch:
    """Named groups of which one applies; a single option isn't a parameter."""

    options: Mapping[str, Group]
    guess: Guess | None = field(default=None, kw_only=True)

    @cached_property
    def choice(self) -> Choice:
        """The options' names."""
        return Choice(tuple(self.options), guess=self.guess)


Parameter: TypeAlias = Range | Choice
Node: TypeAlias = Fixed | Range | Choice | Group | Branch

#: Called for each parameter that applies, in the file's order: (path, parameter) -> stored value.
Suggest: TypeAlias = Callable[[str, Parameter], Scalar]


#: The parameters in the file's order: path, parameter, and option -> its parameters for a branch.
_Questions: TypeAlias = "tuple[tuple[str, Parameter, Mapping[Scalar, _Questions]], ...]"


@dataclass(frozen=True)
class Draw:
    """One point of the space."""

    #: Path -> stored value, for the parameters that apply.
    params: Mapping[str, Scalar]
    #: The same point as a nested mapping in the study file's shape, without ranges.
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Space:
    """The part of a study file that may be searched."""

    root: Group

    def draw(self, suggest: Suggest) -> Draw:
        """Return the point that ``suggest`` chooses, called for every parameter that applies."""
        params: dict[str, Scalar] = {}

        def ask(path: str, parameter: Parameter) -> Any:
            stored = suggest(path, parameter)
            if isinstance(parameter, Choice):
                params[path] = stored
                return parameter.value_of(stored)
            params[path] = stored = _of_its_type(parameter, stored)
            return stored

        def visit(node: Node, path: str) -> Any:
            match node:
                case Fixed(value):
                    return value
                case Range() | Choice():
                    return ask(path, node)
                case Group(children):
                    return {key: visit(child, join(path, key)) for key, child in children.items()}
                case Branch(options):
                    name = next(iter(options)) if len(options) == 1 else ask(path, node.choice)
                    return {name: visit(options[name], join(path, name))}

        config = visit(self.root, "")
        return Draw(params=params, config=config)

    def draw_params(self, suggest: Suggest) -> dict[str, Scalar]:
        """Return only the parameters of ``draw``, which is faster."""
        params: dict[str, Scalar] = {}

        def ask(questions: _Questions) -> None:
            for path, parameter, options in questions:
                params[path] = stored = _of_its_type(parameter, suggest(path, parameter))
                if options:
                    ask(options[stored])

        ask(self._questions)
        return params

    @cached_property
    def _questions(self) -> _Questions:
        return _questions(self.root, "")

    def freeze(self, params: Mapping[str, Scalar]) -> Draw:
        """Return the point with these parameters (path -> stored value).

        Raises:
            KeyError: A parameter that applies is missing.
        """
        return self.draw(lambda path, _: params[path])

    @cached_property
    def guesses(self) -> Mapping[str, tuple[Parameter, Guess]]:
        """The parameters that have a prior, by their paths, and the priors."""
        return {
            path: (parameter, parameter.guess)
            for path, parameter in self.parameters().items()
            if parameter.guess is not None
        }

    def parameters(self) -> dict[str, Parameter]:
        """Return every parameter of every branch by its path, in the file's order."""
        parameters: dict[str, Parameter] = {}

        def visit(node: Node, path: str) -> None:
            match node:
                case Fixed():
                    pass
                case Range() | Choice():
                    parameters[path] = node
                case Group(children):
                    for key, child in children.items():
                        visit(child, join(path, key))
                case Branch(options):
                    if len(options) > 1:
                        parameters[path] = node.choice
                    for name, option in options.items():
                        visit(option, join(path, name))

        visit(self.root, "")
        return parameters

    def fixed(self) -> dict[str, Any]:
        """Return every value of every branch that isn't searched, by its path."""
        values: dict[str, Any] = {}

        def visit(node: Node, path: str) -> None:
            match node:
                case Fixed(value):
                    values[path] = value
                case Group(children) | Branch(children):
                    for key, child in children.items():
                        visit(child, join(path, key))

        visit(self.root, "")
        return values


def _of_its_type(parameter: Parameter, stored: Scalar) -> Scalar:
    # Databases and samplers may return 3.0 for 3; a frozen config must contain 3
    if isinstance(parameter, Range) and isinstance(stored, int | float):
        return int(stored) if parameter.integer else float(stored)
    return stored


def _questions(node: Node, path: str) -> _Questions:
    match node:
        case Fixed():
            return ()
        case Range() | Choice():
            return ((path, node, {}),)
        case Group(children):
            below = (_questions(child, join(path, key)) for key, child in children.items())
            return tuple(question for questions in below for question in questions)
        case Branch(options):
            by_option: dict[Scalar, _Questions] = {
                name: _questions(option, join(path, name)) for name, option in options.items()
            }
            if len(by_option) == 1:
                return next(iter(by_option.values()))
            return ((path, node.choice, by_option),)


def is_searched(value: Mapping[str, Any]) -> bool:
    """Whether a mapping of a study's document is a range or a list of values."""
    keys = set(value)
    return {"min", "max"} <= keys or ("values" in keys and keys <= {"values", *PRIOR_KEYS})


def join(path: str, key: str) -> str:
    """Append a key to a dotted path."""
    return f"{path}.{key}" if path else key


def plain_values(document: Mapping[str, Any], params: Mapping[str, Scalar]) -> dict[str, Any]:
    """Return a trial's parameters as its study file writes them (Optuna stores lists as text).

    Args:
        document: The study's normal form, ranges included.
        params: Path -> stored value.

    Returns:
        Path -> value. A value that the document doesn't list stays as it is stored.
    """
    return {path: _plain_value(document, path, stored) for path, stored in params.items()}


def point_of(
    document: Mapping[str, Any], params: Mapping[str, Scalar], sections: Iterable[str]
) -> dict[str, Any]:
    """Return sections of a study with a trial's values in place of ranges and branches.

    It needs only the stored document, neither plug-ins nor a schema.

    Args:
        document: The study's normal form, ranges included.
        params: Path -> stored value, for every parameter that applies.
        sections: Top-level keys; those that the document lacks are left out.
    """
    values = plain_values(document, params)

    def resolve(node: Any, path: str) -> Any:
        if path not in values:
            if not isinstance(node, Mapping):
                return node
            return {key: resolve(child, join(path, key)) for key, child in node.items()}
        value = values[path]
        option = node.get(value) if isinstance(node, Mapping) and isinstance(value, str) else None
        return {value: resolve(option, join(path, value))} if option is not None else value

    return {key: resolve(document[key], key) for key in sections if key in document}


def _plain_value(document: Mapping[str, Any], path: str, stored: Scalar) -> Any:
    node: Any = document
    for part in path.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    listed = node.get("values") if isinstance(node, Mapping) else None
    if not isinstance(listed, list):
        return stored
    return next((value for value in listed if label(value) == stored), stored)


def format_value(value: Scalar) -> str:
    """Return a value in readable form: ``0.02``, ``true``, ``none``."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)


def short_name(path: str, among: Mapping[str, Any] | None = None) -> str:
    """Return the shortest unambiguous end of a path ``among`` paths, at least its last word.

    ``optimizer.sgd.lr`` becomes ``sgd.lr`` if another optimizer has an ``lr`` too.
    """
    words = path.split(".")
    others = [other.split(".") for other in among or {} if other != path]
    for count in range(1, len(words)):
        if all(other[-count:] != words[-count:] for other in others):
            return ".".join(words[-count:])
    return path


def label(value: Any) -> Scalar:
    """Return ``value`` as Optuna stores it: scalars as they are, the rest as compact JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
