"""The values that a parameter is compared with, and the configurations that have them.

One at a time: everything but one parameter is as in the ablated trial. Crossed: a parameter's
effect is measured at several places, which differ in other parameters (``by``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from hpsearch.results.ablation.spec import Contrast, LeftOut, Variant
from hpsearch.study_file.space import Choice, Parameter, Range, Scalar, Space

#: Distance of the values beside a number, as a share of its range on its own scale (at least one
#: step).
STEP = 0.2

#: A float's alternative that is nearer than this share of ``STEP`` isn't another value.
_LEAST = 0.25

#: A range of integers with at most this many values is crossed with all of them.
FEW = 4

#: The largest number of configurations that a crossed question trains.
MOST_CELLS = 24

Params = Mapping[str, Scalar]

#: Returns the settings of a trial of the search in which a path has a value; ``None`` without one.
Donor = Callable[[str, Scalar], Params | None]


@dataclass
class Design:
    """Variants of one configuration, and which of them are compared."""

    space: Space
    #: The configuration that is varied; variant 0.
    params: Params
    donor: Donor
    #: Returns why a configuration can't be trained; ``None`` if it can.
    refuse: Callable[[Params], str | None] = lambda params: None
    variants: list[Variant] = field(default_factory=list)
    contrasts: list[Contrast] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.variants:
            self.variants.append(Variant(params=dict(self.params), changed={}))

    def one_at_a_time(self, path: str, also: Sequence[Scalar] = ()) -> None:
        """Compare each alternative of one parameter with the configuration's own value.

        Args:
            path: A parameter that the configuration has.
            also: Further values, such as that of the first of ``try_first``.
        """
        parameter, base = self.space.parameters()[path], self.params[path]
        levels = alternatives(parameter, base)
        levels += [
            value
            for value in also
            if parameter.contains(value) and not _among(value, [base, *levels])
        ]
        for level in levels:
            number = self._variant({path: level})
            if number is not None:
                self.contrasts.append(
                    Contrast(parameter=path, one=number, other=0, level=level, base=base, at={})
                )

    def crossed(self, path: str, by: Sequence[str], most_cells: int = MOST_CELLS) -> None:
        """Compare the levels of one parameter at each level of others.

        Every combination of the others' levels is a place, if that needs at most ``most_cells``
        configurations. Otherwise the places are the configuration itself, and those that differ
        from it in one of ``by``, as many as are allowed.

        Args:
            path: A parameter that the configuration has.
            by: Other parameters that it has.
            most_cells: The largest number of configurations.
        """
        parameters = self.space.parameters()
        levels = _levels(parameters[path], self.params[path])
        levels_of_others = [_levels(parameters[other], self.params[other]) for other in by]
        own_place = {other: self.params[other] for other in by}
        places = [dict(zip(by, values, strict=True)) for values in product(*levels_of_others)]
        if len(places) * len(levels) > most_cells:
            places = [
                {**own_place, other: value}
                for other, values in zip(by, levels_of_others, strict=True)
                for value in values
                if not _same(value, own_place[other])
            ]
        others = [place for place in places if place != own_place]
        for place in [own_place, *others][: max(1, most_cells // len(levels))]:
            cells = {level: self._variant({**place, path: level}) for level in levels}
            first = cells[levels[0]]
            for level in levels[1:]:
                number = cells[level]
                if number is None or first is None:
                    continue
                self.contrasts.append(
                    Contrast(
                        parameter=path,
                        one=number,
                        other=first,
                        level=level,
                        base=levels[0],
                        at=place,
                    )
                )

    def _variant(self, changes: Params) -> int | None:
        """Return the number of the configuration with ``changes``; ``None`` if it has none."""
        changed = {
            path: value for path, value in changes.items() if not _same(value, self.params[path])
        }
        params = self._with(changed)
        for number, variant in enumerate(self.variants):
            if variant.params == params:
                return number
        reason: str | None = "no trial of the search has the settings that go with it"
        if params is not None:
            reason = self.refuse(params)
        if params is None or reason is not None:
            left_out = LeftOut(changed=changed, reason=reason or "")
            if left_out not in self.left_out:
                self.left_out.append(left_out)
            return None
        self.variants.append(Variant(params=params, changed=changed))
        return len(self.variants) - 1

    def _with(self, changed: Params) -> dict[str, Scalar] | None:
        donors = [self.donor(path, value) for path, value in changed.items()]

        def value_of(path: str, parameter: Parameter) -> Scalar:
            for settings in (changed, self.params, *filter(None, donors)):
                if path in settings:
                    return settings[path]
            raise KeyError(path)

        try:
            return self.space.draw_params(value_of)
        except KeyError:
            return None


def alternatives(parameter: Parameter, value: Scalar) -> list[Scalar]:
    """Return the values that ``value`` is compared with: other levels, or neighbouring numbers."""
    if isinstance(parameter, Choice):
        return [label for label in parameter.labels if not _same(label, value)]
    return [] if isinstance(value, str) or value is None else list(_neighbours(parameter, value))


def _levels(parameter: Parameter, value: Scalar) -> list[Scalar]:
    """Return the levels of a crossed parameter in their order, ``value`` among them."""
    if isinstance(parameter, Choice):
        return list(parameter.labels)
    if parameter.integer and not parameter.log:
        step = int(parameter.step or 1)
        every: list[Scalar] = list(range(int(parameter.low), int(parameter.high) + 1, step))
        if len(every) <= FEW:
            return every
    numbers: list[Any] = [value, *alternatives(parameter, value)]
    return sorted(numbers)


def _neighbours(parameter: Range, value: float) -> Iterator[Scalar]:
    """Yield the next lower and the next higher value, as far as the range has them."""
    on_scale = math.log if parameter.log else float
    low, high = on_scale(parameter.low), on_scale(parameter.high)
    for sign in (-1, 1):
        at = min(max(on_scale(value) + sign * STEP * (high - low), low), high)
        candidate = math.exp(at) if parameter.log else at
        step = parameter.step or (1 if parameter.integer else None)
        if step is not None and not parameter.log:
            steps = max(1, round(abs(candidate - value) / step))
            candidate = value + sign * steps * step
            if not parameter.low <= candidate <= parameter.high + 1e-9 * step:
                continue
        elif parameter.integer:
            candidate = round(candidate)
            candidate = candidate if candidate != value else value + sign
        else:
            if abs(at - on_scale(value)) < _LEAST * STEP * (high - low):
                continue
            candidate = min(max(float(f"{candidate:.3g}"), parameter.low), parameter.high)
        number: Scalar = round(candidate) if parameter.integer else float(candidate)
        if parameter.contains(number) and number != value:
            yield number


def _same(one: Scalar, other: Scalar) -> bool:
    return type(one) is type(other) and one == other


def _among(value: Scalar, values: Sequence[Scalar]) -> bool:
    return any(_same(value, other) for other in values)
