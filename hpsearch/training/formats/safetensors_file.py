"""Weights as safetensors: only tensors and text, no code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from hpsearch.durable_files import write_file
from hpsearch.errors import CheckpointError
from hpsearch.regular_file import require_regular
from hpsearch.training.classifier import Signature

#: The metadata key of the ``Signature``.
KEY = "hpsearch"


def write_weights(path: Path, weights: Mapping[str, Tensor], signature: Signature) -> None:
    """Write a model's weights with its signature in the metadata, whole or not at all.

    Args:
        path: The file, replaced atomically.
        weights: The model's ``state_dict``.
        signature: What is needed to use the weights.

    Raises:
        OSError: If the file can't be written.
    """
    # Cloned, since safetensors refuses tensors that share memory (views, tied weights)
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    content = safetensors.torch.save(own, {"format": "pt", KEY: signature.to_json()})
    write_file(path, content)


def read_weights(path: Path) -> tuple[dict[str, Tensor], Signature]:
    """Return the weights, on the CPU, and their signature.

    Raises:
        CheckpointError: If the file is missing, damaged or not hpsearch's; the message names it.
    """
    try:
        require_regular(path)
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise CheckpointError(f"weights {path} can't be read: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"weights {path} are damaged: {error}") from error
    if KEY not in metadata:
        raise CheckpointError(
            f"weights must contain a description of their model, but {path} has no {KEY!r} in its "
            "metadata; write it with `hpsearch export --weights` or `hpsearch train --out`"
        )
    return weights, Signature.from_json(metadata[KEY], str(path))
