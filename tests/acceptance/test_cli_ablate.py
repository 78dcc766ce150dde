"""`ablate`: from a finished search to what each setting is worth, by commands alone."""

from __future__ import annotations

from support.processes import _without_main_module

STUDY = """\
study: small
seed: 5
budget: {trials: 2, epochs_per_trial: 1}
sampler: random
pruner: none
data: {source: digits, limit: 200}
model: {mlp: {hidden: {values: [[4], [16]]}}}
optimizer: {adam: {lr: 0.01}}
"""


def test_ablate_prints_and_reports_the_effect(hpsearch, here):
    (here / "small.yaml").write_text(STUDY)
    with _without_main_module():
        assert hpsearch("launch", "--study", "small.yaml").code == 0
        ran = hpsearch("ablate", "--study", "small", "--seeds", "3", "--workers", "2")
    assert ran.code == 0, ran.all
    for line in ("small-ablate (new)", "at most 6 trainings", " instead of ", "held fixed"):
        assert line in ran.out, line
    told = hpsearch("ablate", "--study", "small", "--seeds", "3", "--json").json
    assert (told["finished"], told["trainings"], told["comparisons"]) == (True, 6, 1)
    (effect,) = told["effects"]
    assert effect["parameter"] == "model.mlp.hidden" and effect["seeds"] == 3
    assert effect["interval"][0] < effect["better_by"] < effect["interval"][1]
    assert effect["answer"] in ("yes", "no", "undecided")
    assert hpsearch("ablate", "--study", "small", "--parameters", "hiden").code == 2
