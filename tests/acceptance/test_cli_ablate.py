"""`launch --answer` and `ablate`: from a study file to what a setting is worth, by commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from support.commands import Ran
from support.json_keys import COMMANDS, gone
from support.processes import _without_main_module

STUDY = """\
study: small
question: {parameter: model.mlp.hidden}
seed: 5
budget: {trials: 2, epochs_per_trial: 1}
sampler: random
pruner: none
data: {source: digits, limit: 200}
model: {mlp: {hidden: {values: [[4], [16]]}}}
optimizer: {adam: {lr: 0.01}}
"""


def test_launch_answers_the_question_by_experiment(
    hpsearch: Callable[..., Ran], here: Path
) -> None:
    (here / "small.yaml").write_text(STUDY)
    with _without_main_module():
        ran = hpsearch("launch", "--study", "small.yaml", "--workers", "2", "--confirm", "--answer")
    assert ran.code == 0, ran.all
    for line in ("small-ablate (new)", "at most 20 trainings", " instead of ", "held fixed"):
        assert line in ran.out, line

    told = hpsearch("ablate", "--study", "small", "--question", "--json").json
    assert (told["finished"], told["trainings"], told["comparisons"]) == (True, 20, 1)
    (effect,) = told["effects"]
    assert effect["parameter"] == "model.mlp.hidden" and effect["seeds"] == 10
    assert effect["interval"][0] < effect["better_by"] < effect["interval"][1]
    (stored,) = hpsearch("status", "--study", "small", "--json").json["ablations"]
    decided = [effect["sentence"]] if effect["answer"] != "undecided" else []
    assert (stored["study"], stored["answers"]) == ("small-ablate", decided)
    wrong = hpsearch("ablate", "--study", "small", "--parameters", "hiden")
    assert wrong.code == 2 and "unknown searched parameter 'hiden'" in wrong.all

    # Scripts of users read these
    documents = {name: hpsearch(name, *args, "--json").json for name, args in COMMANDS.items()}
    assert hpsearch("report", "--study", "small", "--out", "report").code == 0
    documents["report"] = json.loads((here / "report" / "report.json").read_text())
    assert gone(documents) == []
