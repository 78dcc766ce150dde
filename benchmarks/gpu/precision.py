"""When bf16 is faster on the device, and what ``training.precision`` chooses."""

from __future__ import annotations

import math

from benchmarks.gpu.settings import Finding, Settings
from benchmarks.precision_rule import COLOUR, DILATED, GRAY, Case, choice, speed_up
from hpsearch.registry import Component
from hpsearch.training.models.inspection import describe

CASES = (
    Case("mlp", {"hidden": [120]}, GRAY, (64, 1024)),
    Case("mlp", {"hidden": [3072, 768, 192]}, COLOUR, (64, 1024)),
    Case("simple_cnn", {}, GRAY, (32, 512)),
    Case("dilated_cnn", DILATED, GRAY, (32, 512)),
    Case("cnn_small", {}, COLOUR, (32, 256)),
    Case("resnet18", {}, COLOUR, (32, 256)),
)
QUICK = (Case("mlp", {"hidden": [16]}, GRAY, (8,)),)

#: Most that a choice of the rule may cost before it counts as wrong.
TOLERATED = 0.5


def measure(settings: Settings) -> Finding:
    """Time a training step in both precisions for each model and batch size."""
    device, rows, worst = settings.where, [], (0.0, "no case")
    for case in settings.of(CASES, QUICK):
        model = describe(Component(case.model, case.settings), input_shape=case.shape, classes=10)
        for batch in case.batches:
            ratio = speed_up(
                case, batch, settings.of(5, 3), device, at_least=settings.of(0.1, 0.01)
            )
            says = choice(model, batch, device)
            costs = math.exp(abs(math.log(ratio))) - 1 if (ratio > 1) != (says == "bf16") else 0.0
            name = f"{case.model} {'x'.join(map(str, case.shape))}, batch {batch}"
            worst = max(worst, (costs, name))
            rows.append(
                {
                    "model": name,
                    "million multiply-adds": round(model.multiply_adds * batch / 1e6, 1),
                    "bf16 is faster by": round(ratio, 2),
                    "the rule": says,
                    "it costs, %": round(100 * costs),
                }
            )
    return Finding(
        verdict="measured" if settings.quick or worst[0] <= TOLERATED else "wrong",
        said=f"at worst the rule costs {100 * worst[0]:.0f} % of a step ({worst[1]})",
        rows=rows,
    )
