"""A trained model in use: images in, classes out. It needs no training images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from hpsearch.errors import CheckpointError
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.batches import ImageStore
from hpsearch.training.data.decode import resized
from hpsearch.training.data.picture_files import Colour, read_picture
from hpsearch.training.data.prepare import PreparedData
from hpsearch.training.evaluate import Evaluation, evaluate, evaluation_batch, logits_of
from hpsearch.training.models.inspection import ModelSummary, describe
from hpsearch.training.models.pretrained import weights_come_later
from hpsearch.training.precision import ComputePrecision
from hpsearch.training.registries import MODELS
from hpsearch.training.state import fingerprint

#: Pixels; limits the memory that a file from elsewhere can make a picture use.
_LARGEST_EDGE = 10_000

#: Which images a model was trained on.
TrainedOn = Literal["train", "train+validation"]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A model's input and the meaning of its output, stored with its weights."""

    class_names: tuple[str, ...]
    #: (channels, height, width); pictures of other sizes are resized.
    input_shape: tuple[int, int, int]
    #: Per channel, on the 0..1 scale: a pixel p of 0..255 becomes (p / 255 - mean) / std.
    mean: tuple[float, ...]
    std: tuple[float, ...]
    #: The precision of its training and evaluation.
    precision: ComputePrecision
    #: Fingerprints of the frozen config, and of the model in it.
    config: str
    model: str
    data_hash: str
    split_hash: str
    #: The epoch after which the weights were taken.
    epoch: int
    trained_on: TrainedOn = "train"

    @property
    def colour(self) -> Colour:
        """The colour mode in which pictures are decoded."""
        return "gray" if self.input_shape[0] == 1 else "rgb"

    def contract(self) -> str:
        """Return one sentence that describes the input of an exported model."""
        channels, height, width = self.input_shape
        order = "gray" if channels == 1 else "red, green, blue"
        return (
            f"uint8 (batch, {channels}, {height}, {width}): {order}, 0..255, as decoded; a picture "
            f"of another size is first resized to {width} x {height} pixels (bilinear, "
            "antialiased). The normalisation is inside the model"
        )

    def to_json(self) -> str:
        """Return the signature as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, where: str) -> Signature:
        """Read a signature from ``to_json``'s text.

        Args:
            text: The text.
            where: Name of its place, for the error.

        Raises:
            CheckpointError: If it isn't a valid signature.
        """
        try:
            fields = json.loads(text)
            signature = cls(**{key: _frozen(value) for key, value in fields.items()})
            signature._check()
        except (ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"weights must contain a description of their model, but that of {where} can't be "
                f"used ({error}); export or train it again"
            ) from error
        return signature

    def _check(self) -> None:
        channels = self.input_shape[0]
        numbers = (*self.input_shape, self.epoch)
        if len(self.input_shape) != 3 or not all(type(n) is int and n > 0 for n in numbers):
            raise ValueError(f"input_shape {self.input_shape}, epoch {self.epoch}")
        if max(self.input_shape) > _LARGEST_EDGE:
            raise ValueError(
                f"input_shape {self.input_shape}: an edge has at most {_LARGEST_EDGE:,} pixels"
            )
        scale = (*self.mean, *self.std)
        if not len(self.mean) == len(self.std) == channels or channels not in (1, 3):
            raise ValueError(f"{channels} channels, mean {self.mean}, std {self.std}")
        if not all(math.isfinite(number) for number in scale) or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean}, std {self.std}")
        literals = ((self.precision, ComputePrecision), (self.trained_on, TrainedOn))
        if not all(name in get_args(names) for name, names in literals):
            raise ValueError(f"precision {self.precision}, trained on {self.trained_on}")
        if len(self.class_names) < 2 or not all(isinstance(n, str) for n in self.class_names):
            raise ValueError(f"class names {self.class_names}")


def signature_of(
    config: TrialConfig,
    data: PreparedData,
    precision: ComputePrecision,
    *,
    epoch: int,
    trained_on: TrainedOn = "train",
) -> Signature:
    """Return the signature of a model that was trained on ``data``.

    Args:
        config: The configuration, which equals the frozen config that is stored with the model.
        data: The prepared images of the training.
        precision: The precision of the training.
        epoch: The epoch after which the weights were taken.
        trained_on: The images on which the model was trained.
    """
    return Signature(
        class_names=data.class_names,
        input_shape=data.input_shape,
        mean=tuple(data.mean.tolist()),
        std=tuple(data.std.tolist()),
        precision=precision,
        config=fingerprint(config),
        model=fingerprint(config.model),
        data_hash=data.data_hash,
        split_hash=data.split_hash,
        epoch=epoch,
        trained_on=trained_on,
    )


class Classifier:
    """A model with its weights, on a device.

    Args:
        config: The configuration of the training.
        signature: The model's input and classes.
        weights: The model's ``state_dict``.
        device: Name of the device, such as ``cpu`` or ``cuda``.

    Raises:
        CheckpointError: If the weights are of another model.
    """

    def __init__(
        self,
        config: TrialConfig,
        signature: Signature,
        weights: Mapping[str, Tensor],
        device: str = "cpu",
    ) -> None:
        self.config, self.signature = config, signature
        self.summary: ModelSummary = _summary(config.model, signature)
        self.model = _with_weights(config.model, signature, weights).eval()
        if self.summary.convolutional:
            self.model.to(memory_format=torch.channels_last)
        self.move_to(device)

    def move_to(self, device: str) -> None:
        """Move the model to a device, such as ``cpu`` or ``cuda``."""
        self.device = torch.device(device)
        self.model.to(self.device)
        self._batch = evaluation_batch(self.summary.largest_output, self.device)

    def read(self, path: Path) -> Tensor:
        """Return a picture as the model's input, uint8 (channels, height, width).

        It is decoded and resized as in training.

        Raises:
            DamagedPicture: If the file can't be decoded; the message names it.
        """
        channels, height, width = self.signature.input_shape
        picture = read_picture(path, self.signature.colour)
        sized = resized(picture, (height, width, channels))
        return torch.from_numpy(sized.copy()).permute(2, 0, 1).contiguous()

    def normalised(self, images: Tensor) -> Tensor:
        """Return ``images`` as ``model`` takes them, float32 (n, channels, height, width).

        Args:
            images: uint8 (n, channels, height, width).
        """
        return self._pixels(images).batch(torch.arange(len(images), device=self.device))

    def logits(self, images: Tensor, precision: ComputePrecision | None = None) -> Tensor:
        """Return the logits of ``images``, float32 (n, classes) on the model's device.

        Args:
            images: uint8 (n, channels, height, width).
            precision: The precision to compute in; ``None`` is that of the training.
        """
        return logits_of(
            self.model,
            self._pixels(images),
            torch.arange(len(images), device=self.device),
            batch_size=self._batch,
            precision=precision or self.signature.precision,
        )

    def probabilities(self, images: Tensor) -> Tensor:
        """Return each class's probability, float32 (n, classes) on the CPU; a row sums to 1."""
        return self.logits(images).softmax(1).cpu()

    def evaluate(self, images: Tensor, labels: Tensor, *, mirrored: bool = False) -> Evaluation:
        """Evaluate the model; with probabilities if the configuration's metrics need them.

        Args:
            images: uint8 (n, channels, height, width).
            labels: Class of each image, int64 (n,).
            mirrored: Whether logits are means of those of an image and of its mirror image.
        """
        return evaluate(
            self.model,
            self._pixels(images),
            labels.to(self.device),
            torch.arange(len(images), device=self.device),
            batch_size=self._batch,
            precision=self.signature.precision,
            probabilities=bool(self.config.metrics),
            mirrored=mirrored,
        )

    def _pixels(self, images: Tensor) -> ImageStore:
        scale = self.signature.mean, self.signature.std
        mean, std = (torch.tensor(numbers, dtype=torch.float64) for numbers in scale)
        last = self.summary.convolutional
        return ImageStore(images.contiguous(), mean, std, self.device, channels_last=last)


def _summary(model: Component, signature: Signature) -> ModelSummary:
    with weights_come_later():
        return describe(
            model, input_shape=signature.input_shape, classes=len(signature.class_names)
        )


def _with_weights(
    component: Component, signature: Signature, weights: Mapping[str, Tensor]
) -> nn.Module:
    with weights_come_later():
        model: nn.Module = MODELS.build(
            component, signature.input_shape, len(signature.class_names)
        )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights must be those of model {component.name!r} as it is configured, but they "
            f"don't match: {' '.join(str(error).split())[:300]}"
        ) from error
    return model


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
