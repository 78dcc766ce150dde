"""fp32 or bf16: a fixed rule, so that a rerun chooses the same.

``bf16`` is autocast: weights, gradients and optimizer stay in fp32; convolutions and dense layers
compute in bfloat16.

On a CPU the rule looks at the work of a step alone. ``benchmarks/precision_rule.py`` times training
steps in both, for 55 pairs of a model and a batch size. On one core (AMD EPYC with AVX512-BF16,
PyTorch 2.14, memory kept between steps) a step in bf16 was

- 0.7 to 1.1 times as fast below 12 million multiply-adds: converting costs more than it saves,
- 0.8 to 1.2 times from 12 to 24 million, most of them above 1,
- 1.0 to 1.4 times from 24 to 100 million, and 1.2 to 1.9 times from there on.
"""

from __future__ import annotations

from typing import Literal

import torch

from hpsearch.study_file.trial_config import Precision

#: What ``choose`` answers.
Chosen = Literal["fp32", "bf16"]

#: Multiply-adds of one forward step (batch included) from which bf16 pays on a CPU.
CPU_MULTIPLY_ADDS = 20_000_000


def choose(
    precision: Precision,
    *,
    device: torch.device,
    multiply_adds: int,
    batch_size: int,
) -> Chosen:
    """Return what to compute in. ``multiply_adds`` are those of one sample, forward."""
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
