"""How much a training step keeps of a forward pass for the backward pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: As few as batch norm trains with.
_BATCH = 2


def saved_bytes_per_image(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Return the bytes that autograd keeps per image (the image included), in fp32.

    ``model`` is on the meta device and is left in training mode. Each tensor counts once, however
    many layers want it; weights don't count. Raises what the model's own code raises.
    """
    weights = {_storage(tensor) for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[_storage(tensor)] = tensor  # alive, so that no storage's address is given anew
        return tensor

    model.train()
    images = torch.empty(_BATCH, *input_shape, device="meta")
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda held: held):
        # What it returned holds the graph, and the graph what was kept
        logits = model(images)
    total = sum(
        tensor.untyped_storage().nbytes()
        for storage, tensor in kept.items()
        if storage not in weights
    )
    del logits
    return -(-total // _BATCH)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
