"""The device and its versions, one image's latency, and the energy counter."""

from __future__ import annotations

import os
import platform
import time
from typing import Any

import torch

from benchmarks.gpu.configs import gray, trial
from benchmarks.gpu.settings import Finding, Settings
from hpsearch.registry import Component
from hpsearch.training.engine import train
from hpsearch.training.latency import time_side_by_side
from hpsearch.training.plan import plan
from hpsearch.workers.devices import cores
from hpsearch.workers.gpu import open_device
from hpsearch.workers.trial import gpu_memory
from hpsearch.workers.trial.build_plan import device_name
from hpsearch.workers.trial.energy import meter_of

MODEL = Component("simple_cnn")


def measure(settings: Settings) -> Finding:
    """Return the device's data, and its costs for one image and for some epochs."""
    open_device(settings.device)
    facts = _facts(settings)
    config = trial(gray(settings), model=MODEL, epochs=settings.of(3, 1))
    planned = plan(config, device=settings.device)
    seconds = time_side_by_side({0: (MODEL, planned)}, device=settings.device)[0]
    facts["one image, ms"] = round(1000 * seconds, 3)
    facts["precision of auto"] = planned.precision
    meter = meter_of(settings.device)
    began = time.perf_counter()
    for _ in train(config, device=settings.device):
        pass
    facts[f"{config.epochs} epochs, s"] = round(time.perf_counter() - began, 2)
    facts["their energy, J"] = "not known" if meter is None else round(meter.look(), 1)
    if settings.where.type == "cuda":
        facts["most memory that they held, MB"] = round(
            torch.cuda.max_memory_allocated(settings.device) / 1e6
        )
        needed = gpu_memory.needed_bytes(planned)
        facts["memory that was predicted for them, MB"] = round(needed / 1e6)
    rows = [{"what": what, "value": value} for what, value in facts.items()]
    return Finding(
        verdict="measured",
        said=f"{device_name(settings.device)}, PyTorch {torch.__version__}, "
        f"{1000 * seconds:.2f} ms for one image",
        rows=rows,
    )


def _facts(settings: Settings) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "device": device_name(settings.device),
        "PyTorch": torch.__version__,
        "Python": platform.python_version(),
        "system": platform.platform(terse=True),
        "CPU cores": cores(),
        "load": round(os.getloadavg()[0], 1),
    }
    if settings.where.type != "cuda":
        return facts
    properties = torch.cuda.get_device_properties(settings.device)
    return {
        **facts,
        "CUDA": torch.version.cuda or torch.version.hip,
        "cuDNN": torch.backends.cudnn.version(),
        "compute capability": ".".join(map(str, torch.cuda.get_device_capability(settings.device))),
        "memory, GB": round(gpu_memory.total_bytes(settings.device) / 1e9, 1),
        "free memory, GB": round(gpu_memory.free_bytes(settings.device) / 1e9, 1),
        "multiprocessors": getattr(properties, "multi_processor_count", None),
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "not set"),
    }
