"""Convolutions: output sizes, the error if there is no output, and initial weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from hpsearch.errors import InfeasibleConfig

_ADVICE = "use a smaller kernel, less dilation, more padding or a larger input_size"


def conv_out(
    size: int, *, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Return the output's width (or height) in pixels, below 1 if the kernel doesn't fit.

    floor((size + 2*padding - dilation*(kernel_size - 1) - 1) / stride) + 1, for convolutions and
    pooling. Source: the shape section of ``torch.nn.Conv2d``.

    Args:
        size: Width (or height) of the input in pixels.
        kernel_size: Elements of the kernel along this axis.
        stride: Step of the kernel in pixels.
        padding: Zeros on each side, in pixels.
        dilation: Distance of two kernel elements in pixels.
    """
    return (size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1


@dataclass(frozen=True, kw_only=True)
class Window:
    """The geometry of a square convolution or pooling kernel; lengths in pixels."""

    kernel_size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    def slide(self, layer: str, size: tuple[int, int]) -> tuple[int, int]:
        """Return the output's (height, width) for an input of ``size``.

        Args:
            layer: Name of the layer, for the error.
            size: (height, width) of the input in pixels.

        Raises:
            InfeasibleConfig: If the window is larger than the padded input; the message shows the
                arithmetic.
        """
        height = self._along(layer, size[0], "high")
        width = self._along(layer, size[1], "wide")
        return height, width

    def _along(self, layer: str, size: int, how: str) -> int:
        k, s, p, d = self.kernel_size, self.stride, self.padding, self.dilation
        out = conv_out(size, kernel_size=k, stride=s, padding=p, dilation=d)
        if out >= 1:
            return out
        kernel = f"kernel {k} with dilation {d}" if d > 1 else f"kernel {k}"
        pixels = "1 pixel" if size == 1 else f"{size} pixels"
        raise InfeasibleConfig(
            f"{layer}: {kernel} spans {d * (k - 1) + 1} pixels, but its input is {pixels} "
            f"{how}{f' and padded by {p} on each side' if p else ''}: "
            f"floor(({size} + 2*{p} - {d}*({k}-1) - 1)/{s}) + 1 = {out}; {_ADVICE}"
        )


def init_for_depth(model: nn.Module) -> None:
    """Initialize the convolutions so that a signal keeps its size through many layers.

    Source: He et al., 2015 (fan out), as in torchvision's VGG and ResNet. With PyTorch's default,
    each layer shrinks the signal.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
