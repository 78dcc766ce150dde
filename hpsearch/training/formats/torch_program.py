"""torch.export's program: the model as one graph that PyTorch runs without hpsearch."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hpsearch.durable_files import write_file
from hpsearch.errors import ExportFailed
from hpsearch.training.classifier import Classifier
from hpsearch.training.formats.agreement import Agreement, compare
from hpsearch.training.formats.deployable import INPUT, Deployable

#: The file in a .pt2 archive that contains the model's signature.
SIGNATURE = "hpsearch.json"


def program_of(model: Deployable, images: Tensor, what: str) -> torch.export.ExportedProgram:
    """Trace ``model`` for batches of any size.

    Args:
        model: The model to trace.
        images: At least one image, uint8 (n, channels, height, width).
        what: Name of the exported program, for the error.

    Raises:
        ExportFailed: If the model can't be traced.
    """
    # Two images, since torch.export treats a batch size of 1 as a constant
    example = torch.cat([images, images])[:2]
    try:
        program = torch.export.export(
            model, (example,), dynamic_shapes={INPUT: {0: torch.export.Dim("batch", min=1)}}
        )
    except Exception as error:  # a model's own code may raise anything while it is traced
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise ExportFailed(
            f"{what} needs a model that torch.export can trace, but tracing failed: "
            f"{type(error).__name__}: {reason}; --weights exports every model"
        ) from error
    for node in program.graph.nodes:
        # Stack traces contain the exporting user's folders
        node.meta.pop("stack_trace", None)
    return program


def write_torch_program(path: Path, classifier: Classifier, images: Tensor) -> Agreement:
    """Write the model to ``path`` (.pt2) if the program gives the model's logits on ``images``.

    Args:
        path: The file, replaced atomically.
        classifier: The model.
        images: Real images to compare on, uint8 (n, channels, height, width).

    Returns:
        The largest difference of the logits.

    Raises:
        ExportFailed: If the model can't be traced, or the logits differ; nothing is written.
    """
    what, model = "the torch.export program", Deployable(classifier)
    exported = program_of(model, images, what)
    buffer = io.BytesIO()
    files: dict[str, Any] = {SIGNATURE: classifier.signature.to_json()}
    torch.export.save(exported, buffer, extra_files=files)
    # Loaded again, so that the comparison is of what the file contains
    buffer.seek(0)
    run = torch.export.load(buffer).module()
    agreement = compare(lambda batch: run(batch)[0], classifier, images, what)
    write_file(path, buffer.getbuffer())
    return agreement
