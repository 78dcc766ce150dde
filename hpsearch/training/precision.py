"""fp32 or bf16, by a fixed rule, so that a rerun chooses the same.

``bf16`` is autocast: weights, gradients and optimizer stay in fp32; convolutions and dense layers
compute in bfloat16.

On a CPU the rule depends only on the work of a step. ``benchmarks/precision_rule.py`` times
training steps in both, for 55 pairs of a model and a batch size. On one core (AMD EPYC with
AVX512-BF16, PyTorch 2.14, memory kept between steps) the speed in bf16, relative to fp32, was

- 0.7 to 1.1 below 12 million multiply-adds: converting costs more than it saves,
- 0.8 to 1.2 from 12 to 24 million, mostly above 1,
- 1.0 to 1.4 from 24 to 100 million, and 1.2 to 1.9 above.
"""

from __future__ import annotations

from typing import Literal

import torch

from hpsearch.study_file.trial_config import Precision

#: A precision that ``choose`` returns.
ComputePrecision = Literal["fp32", "bf16"]

#: Multiply-adds of one forward step (batch included) from which bf16 pays on a CPU.
CPU_MULTIPLY_ADDS = 20_000_000


def choose(
    precision: Precision,
    *,
    device: torch.device,
    multiply_adds: int,
    batch_size: int,
) -> ComputePrecision:
    """Return the precision to compute in.

    Args:
        precision: The configuration's; ``auto`` follows the rule.
        device: The device of the training.
        multiply_adds: Those of one sample's forward pass.
        batch_size: Samples per step.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if cuda_has_bf16(device) else "fp32"
    if device.type == "cpu" and multiply_adds * batch_size >= CPU_MULTIPLY_ADDS and cpu_has_bf16():
        return "bf16"
    return "fp32"


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX512-BF16; every AMX CPU has it too)."""
    return torch.cpu._is_avx512_bf16_supported()


def cuda_has_bf16(device: torch.device) -> bool:
    """Whether this GPU multiplies bfloat16 in hardware (compute capability 8.0 and later)."""
    return torch.cuda.get_device_capability(device) >= (8, 0)
