"""The memory that a training step keeps between its forward and backward pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: The fewest that batch norm trains with.
_BATCH = 2


def saved_bytes_per_image(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Return the bytes that autograd keeps per image (the image included), in fp32.

    A tensor that several layers save counts once; weights don't count. An exception of the model's
    own code passes through.

    Args:
        model: A model on the meta device; it is left in training mode.
        input_shape: (channels, height, width).
    """
    weights = {_storage(tensor) for tensor in (*model.parameters(), *model.buffers())}
    tensors: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        tensors[_storage(tensor)] = tensor  # kept alive, so that no address is used again
        return tensor

    model.train()
    images = torch.empty(_BATCH, *input_shape, device="meta")
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        # The logits keep the graph alive, and the graph keeps the saved tensors alive
        logits = model(images)
    total = sum(
        tensor.untyped_storage().nbytes()
        for storage, tensor in tensors.items()
        if storage not in weights
    )
    del logits
    return -(-total // _BATCH)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
