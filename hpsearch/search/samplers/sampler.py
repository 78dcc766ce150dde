"""What a sampler is: a request for one configuration, and the protocol that answers it.

Each registered function returns a ``Sampler``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from optuna.trial import FrozenTrial

from hpsearch.registry import Registry
from hpsearch.search.history import TrialHistory
from hpsearch.study_file.space import Draw, Scalar, Space


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request for one configuration to a sampler."""

    space: Space
    history: TrialHistory
    #: Seeds this one draw.
    seed: int
    #: Seeds what all draws of the study share (a permutation, a scrambling).
    study_seed: int
    #: Fixed values (``try_first``): path -> stored value.
    fixed: Mapping[str, Scalar]
    #: The point of an enumerated space; ``None`` if the sampler needs none.
    point: int | None
    #: The trials of the history, by number, if they were just read; ``None`` to read them.
    trials: list[FrozenTrial] | None = None


class Sampler(Protocol):
    """Chooses the next configuration. It keeps no state between draws: all is in the history."""

    #: Whether every draw takes the next point of one shared sequence.
    is_enumerated: bool
    #: Whether a draw depends on earlier results, including prior results.
    learns: bool

    def check(self, space: Space) -> None:
        """Check that this sampler can search ``space``.

        Raises:
            UserError: It can't.
        """
        ...

    def draw(self, request: Request) -> Draw | None:
        """Return a point of the space; ``None`` if an enumerated space has none left."""
        ...


SAMPLERS: Registry[Sampler] = Registry("sampler")
