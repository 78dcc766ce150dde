"""Downloads and prepares Fashion-MNIST once, before anything is timed."""

from __future__ import annotations

from benchmarks.gpu.configs import gray
from benchmarks.gpu.settings import Finding, Settings
from hpsearch.errors import DataError
from hpsearch.training.data.prepare import prepare


def measure(settings: Settings) -> Finding:
    """Prepare the images of all parts; ``wrong`` if they can't be downloaded."""
    try:
        prepared = prepare(gray(settings), split_seed=0)
    except DataError as error:
        return Finding(verdict="wrong", said=f"digits are taken instead: {error}")
    return Finding(verdict="ok", said=f"{len(prepared.images):,} pictures are prepared")
