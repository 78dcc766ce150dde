"""The settings of a part, and its answer. Imports no PyTorch, so that the runner needs none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

#: ``ok``: as expected; ``wrong``: not as expected; ``measured``: no value is expected.
Verdict = Literal["ok", "wrong", "measured"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a part."""

    #: ``cuda:0``, or ``cpu``.
    device: str
    #: Whether only to test that it works: it does less of everything, and its results mean nothing.
    quick: bool = False
    #: Whether Fashion-MNIST is available; if not, digits are used.
    fashion: bool = True

    @property
    def where(self) -> torch.device:
        """The device, as PyTorch names it."""
        import torch

        return torch.device(self.device)

    def of(self, whole: Any, quick: Any) -> Any:
        """Return the amount for this run."""
        return quick if self.quick else whole


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The answer of a part."""

    verdict: Verdict
    #: One sentence with the numbers that matter.
    said: str
    #: Rows of a table, each with the same keys.
    rows: list[dict[str, Any]] = field(default_factory=list)
