"""ONNX: the model for other programs and languages, checked by onnxruntime."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hpsearch.durable_files import replacing
from hpsearch.errors import ExportFailed, UserError
from hpsearch.training.classifier import Classifier
from hpsearch.training.formats.agreement import Agreement, compare
from hpsearch.training.formats.deployable import INPUT, OUTPUTS, Deployable
from hpsearch.training.formats.torch_program import program_of

_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_OPSET = 20


def require_onnx() -> None:
    """Check that the packages for ONNX are installed.

    Raises:
        UserError: If one is missing; the message gives the command that installs it.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"an ONNX file is written with {', '.join(_PACKAGES)}, but {' and '.join(missing)} "
            "isn't installed; run: pip install 'hpsearch[onnx]'"
        )


def write_onnx(path: Path, classifier: Classifier, images: Tensor) -> Agreement:
    """Write the model to ``path`` if onnxruntime gives the model's logits on ``images``.

    The file takes any number of images. Its metadata contains the classes and describes the input.

    Args:
        path: The file, replaced atomically.
        classifier: The model.
        images: Real images to compare on, uint8 (n, channels, height, width).

    Returns:
        The largest difference of the logits.

    Raises:
        ExportFailed: If the model can't be converted, or the logits differ; nothing is written.
        UserError: If a package is missing.
    """
    require_onnx()
    what, model = "the ONNX file", Deployable(classifier)
    program = program_of(model, images, what)
    try:
        onnx_program: Any = torch.onnx.export(
            program,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    except Exception as error:  # a layer without an ONNX operator, among many other causes
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise ExportFailed(
            f"{what} needs a model whose operations are all in ONNX, but the conversion failed: "
            f"{type(error).__name__}: {reason}; try --weights or --torch-export"
        ) from error
    signature = classifier.signature
    onnx_program.model.metadata_props.update(
        {
            "classes": json.dumps(signature.class_names, ensure_ascii=False),
            "input": signature.contract(),
            "output": "logits, and probabilities (their softmax): float32 (batch, classes)",
            "hpsearch": signature.to_json(),
        }
    )
    with replacing(path) as unfinished:
        onnx_program.save(unfinished, external_data=False)
        return compare(_runtime(unfinished), classifier, images, what)


def _runtime(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(batch: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUTS[0]], {INPUT: batch.numpy()})[0])

    return run
