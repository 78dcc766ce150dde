"""The prepared images that a study may use: every source, limit and size in its space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hpsearch.errors import UserError
from hpsearch.study_file.space import Choice, Parameter, Scalar
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.trial_config import DataConfig

#: Sections that apply after images are prepared, so that they make no difference here.
_LATER = ("data.validation", "data.normalization", "data.augmentation")

#: Largest number of configs; no disk has room for more.
MAX_CONFIGS = 200


def images_used(study: StudyFile) -> list[DataConfig]:
    """Return a ``DataConfig`` for each, in the file's order, without augmentation.

    Raises:
        UserError: If there are more than ``MAX_CONFIGS``.
    """
    configs: dict[str, DataConfig] = {}
    turns: list[int] = []  # index of each deciding parameter's value, like an odometer
    while True:
        sizes: list[int] = []

        def suggest(path: str, parameter: Parameter) -> Scalar:
            values = _values(parameter) if _decides(path) else [_first(parameter)]
            depth = len(sizes)  # noqa: B023 - called before the next iteration
            sizes.append(len(values))  # noqa: B023
            if depth == len(turns):
                turns.append(0)
            return values[turns[depth]]

        draw = study.space.draw(suggest)
        config = replace(study.trial_config(draw.params, ticket=1).data, augmentation=())
        configs.setdefault(repr(config), config)
        if len(configs) > MAX_CONFIGS:
            raise UserError(
                f"at most {MAX_CONFIGS} sizes can be prepared in advance, but study {study.name!r} "
                "allows more; workers prepare what they need"
            )
        while turns and turns[-1] == sizes[len(turns) - 1] - 1:
            turns.pop()
        if not turns:
            return list(configs.values())
        turns[-1] += 1


def _decides(path: str) -> bool:
    later = any(path == section or path.startswith(f"{section}.") for section in _LATER)
    return path.startswith("data.") and not later


def _first(parameter: Parameter) -> Scalar:
    return _values(parameter)[0]


def _values(parameter: Parameter) -> Sequence[Scalar]:
    if isinstance(parameter, Choice):
        return parameter.labels
    if parameter.integer:
        step = 1 if parameter.log else int(parameter.step or 1)
        return range(int(parameter.low), int(parameter.high) + 1, step)
    return [parameter.low]
