"""fp32 or bf16: a fixed rule, so that a rerun chooses the same.

``bf16`` is autocast: weights, gradients and optimizer stay in fp32; convolutions and dense layers
compute in bfloat16.

The rule's constants for CPUs with bf16 instructions come from training steps timed on one core (AMD
EPYC with AVX512-BF16, PyTorch 2.14, channels last, SGD), bf16 against fp32:

- two-block CNNs of 8 to 128 channels, 8 to 64 pixels, batches of 8 to 128: 0.8 x below 10 million
  multiply-adds a step, around 1.0 x from there to 30 million, then 1.1 to 1.7 x, and up to 2 x from
  500 million;
- dense nets reuse each weight once per sample, and converting it costs as much as several uses:
  0.7 to 1.1 x at batch 16 whatever their size, 1.1 to 1.4 x at batch 64, 1.8 x at batch 256.
"""

from __future__ import annotations

from typing import Literal

import torch

from hpsearch.study_file.trial_config import Precision

#: What ``choose`` answers.
Chosen = Literal["fp32", "bf16"]

#: Multiply-adds of one forward step (batch included) from which bf16 pays on a CPU.
CPU_MULTIPLY_ADDS = 32_000_000

#: How often a step must use each parameter for its conversion to pay; a dense net at batch 64
#: comes to just under 64, since biases are parameters too.
CPU_USES_OF_A_PARAMETER = 50


def choose(
    precision: Precision,
    *,
    device: torch.device,
    parameters: int,
    multiply_adds: int,
    batch_size: int,
) -> Chosen:
    """Return what to compute in. ``multiply_adds`` are those of one sample, forward."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if cuda_has_bf16(device) else "fp32"
    if device.type == "cpu" and cpu_has_bf16():
        step = multiply_adds * batch_size
        if step >= CPU_MULTIPLY_ADDS and step >= CPU_USES_OF_A_PARAMETER * parameters:
            return "bf16"
    return "fp32"


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX512-BF16; every AMX CPU has it too)."""
    return torch.cpu._is_avx512_bf16_supported()


def cuda_has_bf16(device: torch.device) -> bool:
    """Whether this GPU multiplies bfloat16 in hardware (compute capability 8.0 and later)."""
    return torch.cuda.get_device_capability(device) >= (8, 0)
