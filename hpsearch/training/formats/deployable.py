"""The model for other programs: bytes in, logits and probabilities out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from hpsearch.training.batches import scale_and_shift
from hpsearch.training.classifier import Classifier

INPUT, OUTPUTS = "images", ("logits", "probabilities")


class Deployable(nn.Module):
    """A classifier with its normalisation inside, in fp32 on the CPU.

    It takes uint8 (n, channels, height, width) and returns logits and probabilities, both float32
    (n, classes).
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.model = copy.deepcopy(classifier.model).cpu().float()
        # Channels last would be stored as a view, and writing a .pt2 file would warn
        self.model.to(memory_format=torch.contiguous_format)
        signature = classifier.signature
        scale, shift = scale_and_shift(torch.tensor(signature.mean), torch.tensor(signature.std))
        # As buffers they are constants of the exported program, not inputs
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", scale.float().view(-1, 1, 1))
        self.register_buffer("shift", shift.float().view(-1, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and probabilities of ``images``."""
        logits: Tensor = self.model(images.float() * self.scale + self.shift)
        return logits, logits.softmax(1)
