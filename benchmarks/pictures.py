"""The real images that benchmarks train on."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import hpsearch.training.builtin  # noqa: F401 - registers sources
from hpsearch.errors import DataError
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data.prepare import prepare


def gray(limit: int) -> DataConfig:
    """Return Fashion-MNIST (28x28, gray), or digits of that size if it can't be downloaded."""
    config = DataConfig(source=Component("fashion_mnist"), limit=limit)
    try:
        prepare(config, split_seed=0)
    except DataError as error:
        print(f"digits instead of Fashion-MNIST: {error}")
        return DataConfig(source=Component("digits"), input_size=28)
    return config


def colour(folder: Path, file: Path | None, limit: int | None = None) -> DataConfig:
    """Return 32x32 colour images: those of a pickled dictionary of the user.

    Without one, they are 1,005 of ``gray`` in three equal channels, written into ``folder``.
    """
    if file is None:
        file = folder / "colour.pkl"
        if not file.exists():
            data = prepare(gray(1005), split_seed=0)
            pixels = F.interpolate(data.images.float(), size=32, mode="bilinear")
            rows = pixels.round().to(torch.uint8).expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
            content = {
                "data": np.ascontiguousarray(rows.numpy()),
                "labels": data.labels.tolist(),
                "label_names": list(data.class_names),
            }
            file.write_bytes(pickle.dumps(content))
    source = Component("pickled_dict", {"path": str(file)})
    return DataConfig(source=source, validation=0.2, limit=limit)
