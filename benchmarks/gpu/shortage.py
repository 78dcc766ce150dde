"""A real out-of-memory in a search: the trial ends as infeasible, and the worker goes on.

The model requests more memory than the device has, in one piece, which every allocator refuses at
once, so other processes aren't affected.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.gpu.launches import source, stored
from benchmarks.gpu.settings import Finding, Settings
from hpsearch.results import trial_attributes
from hpsearch.search.ledger import queries
from hpsearch.search.ledger.queries import Ticket
from hpsearch.workers.trial import gpu_memory
from hpsearch.workers.trial.memory import ATTEMPTS

MODEL = """\
import torch
from torch import nn

from hpsearch.training.registries import MODELS


class Greedy(nn.Module):
    def __init__(self, pixels, classes, numbers):
        super().__init__()
        self.out = nn.Linear(pixels, classes)
        self.numbers = numbers

    def forward(self, images):
        logits = self.out(images.flatten(1))
        if self.numbers and images.device.type != "meta":
            logits = logits + torch.zeros(self.numbers, device=images.device)[0]
        return logits


@MODELS.register("greedy")
def greedy(shape, classes, /, *, numbers: int = 0):
    "A dense layer, which asks for so many numbers more."
    return Greedy(shape[0] * shape[1] * shape[2], classes, numbers)
"""

STUDY = """\
study: shortage
plugins: [greedy.py]
budget: {{trials: 4, epochs_per_trial: 1}}
sampler: {{tpe: {{startup_trials: 1}}}}
pruner: none
precision: fp32
data: {data}
model: {{greedy: {{numbers: {{values: [0, {numbers}]}}}}}}
optimizer: {{sgd: {{lr: {{min: 1e-3, max: 1e-1, log: true}}}}}}
batch_size: 64
try_first:
  - {{model: {{greedy: {{numbers: {numbers}}}}}, optimizer: {{sgd: {{lr: 0.01}}}}}}
  - {{model: {{greedy: {{numbers: 0}}}}, optimizer: {{sgd: {{lr: 0.01}}}}}}
  - {{model: {{greedy: {{numbers: 0}}}}, optimizer: {{sgd: {{lr: 0.02}}}}}}
"""

#: Most seconds of a launch.
LONGEST = 120.0

#: More bytes than any machine's address space has.
NOWHERE = 2**46


def measure(settings: Settings) -> Finding:
    """Search with one trial that doesn't fit into memory, and check the study afterwards."""
    total = gpu_memory.total_bytes(settings.device) if settings.where.type == "cuda" else NOWHERE
    numbers = (total + total // 4) // 4
    with stored(
        STUDY.format(data=source(settings), numbers=numbers), files={"greedy.py": MODEL}
    ) as launched:
        outcome = launched.run(settings.device, 1, lambda _: None, seconds=LONGEST)
        record = launched.record()
        first = record.trials[0]
        attributes = trial_attributes.read(launched.database, first.trial_id or 0)
        tickets = queries.all_tickets(launched.database, launched.stored.study_id)
    message = str(attributes.get("out_of_memory", ""))
    wrong = faults(outcome.reason, message, tickets)
    return Finding(
        verdict="wrong" if wrong else "ok",
        said="; ".join(wrong) or f"infeasible after {ATTEMPTS} attempts, and the search went on",
        rows=[
            {
                "asked for, GB": round(4 * numbers / 1e9, 1),
                "the study says": message,
                "trials": f"{len(tickets)}: " + ", ".join(str(ticket.state) for ticket in tickets),
            }
        ],
    )


def faults(reason: str, message: str, tickets: Sequence[Ticket]) -> list[str]:
    """Return the faults of a launch whose first trial ran out of memory."""
    others = {ticket.state for ticket in tickets[1:]}
    should = {
        f"the launch is {reason}, not finished": reason == "finished",
        "the trial isn't known as out of memory": message.startswith("out of memory on "),
        f"it had {tickets[0].failures} attempts, not {ATTEMPTS}": tickets[0].failures == ATTEMPTS,
        f"of the others some are {', '.join(sorted(others))}": "complete" in others
        and others <= {"complete", "failed"},
    }
    return [what for what, fine in should.items() if not fine]
