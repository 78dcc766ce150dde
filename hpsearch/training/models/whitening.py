"""A first convolution whose kernels are measured on the training images instead of trained."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Images that the kernels are measured on, at most. They have thousands of patches each.
SAMPLE = 2000

#: Added to the variances, so that directions without any don't become noise.
_FLOOR = 5e-4


class WhitenedConv(nn.Conv2d):
    """A convolution whose outputs are uncorrelated and of variance 1 over the training images.

    Its kernels are the eigenvectors of the images' patches, each divided by its deviation, and
    their negatives, because an activation would drop half of each. They are not trained; only the
    bias is. Until ``measure`` is called, they are random.

    Args:
        channels: Channels of the images.
        outputs: 2 * channels * kernel_size^2.
        kernel_size: Edge of the patches in pixels.
    """

    def __init__(self, channels: int, outputs: int, kernel_size: int) -> None:
        if outputs != 2 * channels * kernel_size**2:
            raise ValueError("a patch has two kernels for each of its values")
        super().__init__(channels, outputs, kernel_size)
        self.weight.requires_grad_(False)

    @torch.no_grad()
    def measure(self, images: Tensor) -> None:
        """Set the kernels.

        Args:
            images: Normalised training images, float (n, channels, height, width), on the CPU, so
                that every device has the same kernels.
        """
        patches = F.unfold(images, self.kernel_size)  # (n, values, places)
        products = torch.einsum("nvp,nwp->nvw", patches, patches).double().sum(0)
        variances, vectors = torch.linalg.eigh(products / (len(patches) * patches.shape[2]))
        kernels = (vectors / (variances + _FLOOR).sqrt()).T.flip(0)  # the largest variance first
        kernels = torch.cat([kernels, -kernels]).view(self.weight.shape)
        self.weight.copy_(kernels.to(self.weight))


def measured_layers(model: nn.Module) -> list[WhitenedConv]:
    """Return the layers of ``model`` that ``measure`` must be called on before training."""
    return [layer for layer in model.modules() if isinstance(layer, WhitenedConv)]
