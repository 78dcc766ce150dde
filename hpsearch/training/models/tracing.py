"""Receptive fields and multiply-adds of one forward pass, operation by operation.

The operations are PyTorch's own (``aten.convolution``, ``aten.addmm``), so it makes no difference
whether a model calls a module or a function, or how its paths branch and join.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten


@dataclass(frozen=True, kw_only=True)
class Span:
    """The input pixels on which a value may depend, along one axis."""

    #: The first and the last pixel for the value at index 0; outside the image if it is padded.
    first: Fraction
    last: Fraction
    #: Distance in pixels from a value's span to the next value's.
    step: Fraction

    @property
    def pixels(self) -> int:
        """Number of pixels from first to last, including those that a dilation skips."""
        return math.ceil(self.last - self.first) + 1

    def behind(self, *, kernel: int, stride: Fraction, padding: int, dilation: int) -> Span:
        """Return the span of a window's output.

        Args:
            kernel: Values in the window.
            stride: Step of the window, in values.
            padding: Zeros on each side, in values.
            dilation: Distance of two kernel elements, in values.
        """
        return Span(
            first=self.first - padding * self.step,
            last=self.last + (dilation * (kernel - 1) - padding) * self.step,
            step=self.step * stride,
        )

    def joined(self, other: Span) -> Span:
        """Return the span of a value that is calculated from two."""
        return Span(
            first=min(self.first, other.first),
            last=max(self.last, other.last),
            # They differ if one was pooled to a single value, whose step has no meaning
            step=min(self.step, other.step),
        )


#: The spans along height and width; ``None`` after an operation whose span is unknown.
Field: TypeAlias = tuple[Span, Span] | None

_PIXEL = Span(first=Fraction(0), last=Fraction(0), step=Fraction(1))


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operations within ``with trace:`` on one batch of images.

    Dense layers count as mixing channels, not pixels, as they do before a convolution. After
    attention, transposed convolutions and interpolation the receptive field is unknown.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        #: Sum over the whole batch.
        self.multiply_adds = 0
        #: The field of every convolution over images so far.
        self._convolutions: list[Field] = []
        self._fields: dict[int, Field] = {id(images): (_PIXEL, _PIXEL)}
        self._kept: list[Any] = [images]  # kept alive, so that no id is used again

    @property
    def receptive_field(self) -> tuple[int, int] | None:
        """(height, width) in pixels of the last convolution's receptive field.

        If joined paths have several last convolutions, the largest counts. ``None`` if there is no
        convolution, or if the field of one is unknown.
        """
        fields = [field for field in self._convolutions if field is not None]
        if not fields or len(fields) < len(self._convolutions):
            return None
        return max(height.pixels for height, _ in fields), max(width.pixels for _, width in fields)

    def __torch_dispatch__(
        self,
        operation: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run ``operation`` and record its effect on the fields."""
        out = operation(*args, **(kwargs or {}))
        overload = operation.overloadpacket
        self.multiply_adds += _multiply_adds(overload, args, out)
        fields = [
            self._fields[id(tensor)] for tensor in _tensors(args) if id(tensor) in self._fields
        ]
        if fields:
            field = _behind(overload, args, fields)
            if overload is _aten.convolution and out.dim() == 4:
                self._convolutions.append(field)
            for tensor in _tensors((out,)):
                self._fields[id(tensor)] = field
                self._kept.append(tensor)
        return out


def _behind(overload: Any, args: Sequence[Any], fields: Sequence[Field]) -> Field:
    field = fields[0]
    for other in fields[1:]:
        field = _joined(field, other)
    if field is None or any(part in overload.__name__ for part in _UNKNOWN):
        return None
    window_rule = _WINDOWS.get(overload)
    if window_rule is None:
        return field
    windows = window_rule(*args)
    if windows is None:
        return None
    along = [span.behind(**window) for span, window in zip(field, windows, strict=True)]
    return along[0], along[1]


def _joined(one: Field, other: Field) -> Field:
    if one is None or other is None:
        return None
    return one[0].joined(other[0]), one[1].joined(other[1])


_Window: TypeAlias = dict[str, Any]
_Windows: TypeAlias = list[_Window] | None


def _convolution(
    image: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    *_: Any,
) -> _Windows:
    if transposed or weight.dim() != 4:
        return None
    return _sliding(weight.shape[2:], stride, padding, dilation)


def _pooling(
    image: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Any = (1,),
    *_: Any,
) -> _Windows:
    return _sliding(kernel, stride or kernel, padding, dilation)


def _average_pooling(
    image: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    *_: Any,
) -> _Windows:
    return _sliding(kernel, stride or kernel, padding, (1,))


def _sliding(
    kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> _Windows:
    pairs = [[*lengths, lengths[-1]][:2] for lengths in (kernel, stride, padding, dilation)]
    return [
        {"kernel": k, "stride": Fraction(s), "padding": p, "dilation": d}
        for k, s, p, d in zip(*pairs, strict=True)
    ]


def _adaptive_pooling(image: Tensor, output_size: Sequence[int], *_: Any) -> _Windows:
    sizes = zip(image.shape[-2:], [*output_size, output_size[-1]], strict=False)
    return [_even(size, parts) for size, parts in sizes]


def _even(size: int, parts: int) -> _Window:
    """Return the widest of the windows that divide ``size`` values into ``parts``."""
    kernel = max(-(-(i + 1) * size // parts) - i * size // parts for i in range(parts))
    return {"kernel": kernel, "stride": Fraction(size, parts), "padding": 0, "dilation": 1}


def _reduction(image: Tensor, dims: Sequence[int] | int | None = None, *_: Any) -> _Windows:
    whole = range(image.dim()) if dims is None else [dims] if isinstance(dims, int) else dims
    reduced = {dim % image.dim() for dim in whole}
    return [
        _even(image.shape[dim], 1 if dim in reduced else image.shape[dim])
        if image.dim() == 4
        else _even(1, 1)
        for dim in (2, 3)
    ]


_WINDOWS: Mapping[Any, Callable[..., _Windows]] = {
    _aten.convolution: _convolution,
    _aten.max_pool2d_with_indices: _pooling,
    _aten.avg_pool2d: _average_pooling,
    _aten._adaptive_avg_pool2d: _adaptive_pooling,
    _aten.adaptive_max_pool2d: _adaptive_pooling,
    _aten.mean: _reduction,
    _aten.sum: _reduction,
    _aten.amax: _reduction,
}

#: Parts of the names of operations whose receptive field isn't calculated.
_UNKNOWN = ("bmm", "attention", "upsample")


def _multiply_adds(overload: Any, args: Sequence[Any], out: Any) -> int:
    """Return the multiply-adds of a convolution or matrix product; 0 for other operations."""
    if overload is _aten.convolution:
        image, weight, transposed = args[0], args[1], args[6]
        # weight: (out, in / groups, ...), or (in, out / groups, ...) if transposed
        return int((image if transposed else out).numel() * math.prod(weight.shape[1:]))
    if overload in (_aten.mm, _aten.bmm):
        return int(out.numel() * args[0].shape[-1])
    if overload is _aten.addmm:
        return int(out.numel() * args[1].shape[-1])
    return 0


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
