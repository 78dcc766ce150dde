"""How a part is run, and what it finds. Imports no PyTorch, so that the runner needs none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

#: ``ok``: as it should be; ``wrong``: not so; ``measured``: there is no right value.
Verdict = Literal["ok", "wrong", "measured"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a part is run."""

    #: ``cuda:0``, or ``cpu``.
    device: str
    #: Whether only the way is tested: less of everything, and its figures mean nothing.
    quick: bool = False
    #: Whether Fashion-MNIST is there; digits are taken otherwise.
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
    """What a part found."""

    verdict: Verdict
    #: One sentence with the figures that matter.
    said: str
    #: Rows of a table, each with the same keys.
    rows: list[dict[str, Any]] = field(default_factory=list)
