"""`launch --confirm`: from a study file to a winner that was confirmed, by commands alone."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML
from support.processes import _without_main_module

pytestmark = pytest.mark.usefixtures("threads_restored")

STUDY = """\
study: small
seed: 5
budget: {trials: 3, epochs_per_trial: 2}
confirm: {top: 2, seeds: 2}
sampler: random
pruner: none
data: {source: digits, limit: 400}
model: {mlp: {hidden: [16]}}
optimizer: {adam: {lr: {min: 1e-4, max: 3e-2, log: true}}}
"""


def test_launch_confirm_evaluate_export(hpsearch, here):
    (here / "small.yaml").write_text(STUDY)
    with _without_main_module():
        ran = hpsearch("launch", "--study", "small.yaml", "--workers", "2", "--confirm")
    assert ran.code == 0, ran.all
    for line in (
        "small-confirm (new)",
        "Best seen in search ",
        "(1 seed, best of 3: optimistic)",
        "Confirmed, 2 seeds ",
        "each seed with a newly drawn split",
        "Optimism ",
        "P(best) ",
        " on confirmation",
    ):
        assert line in ran.out, line

    verdict = hpsearch("confirm", "--study", "small", "--json").json
    assert (verdict["finished"], verdict["ended"], verdict["nth"]) == (True, "finished", 1)
    assert verdict["winner"] in [each["standing"]["trial"] for each in verdict["finalists"]]
    assert verdict["optimism"] == pytest.approx(
        max(0.0, verdict["best_seen"] - verdict["confirmed"])
    )
    assert all(each["cost"]["latency_seconds"] > 0 for each in verdict["finalists"])
    assert sorted(verdict["reported"]) == ["3", "4"]

    told = hpsearch("status", "--study", "small", "--json").json["confirmation"]
    trained = hpsearch("status", "--study", "small-confirm", "--json").json["trials"]
    assert told == {
        "study": "small-confirm",
        "finished": True,
        "trainings": trained["total"],
        "winner": verdict["winner"],
        "value": verdict["confirmed"],
        "interval": [verdict["over_seeds_and_images"][end] for end in ("low", "high")],
        "newer_trials": 0,
    }
    said = hpsearch("status", "--study", "small").out
    assert "The winner is " in said and f" (trial {verdict['winner']}): val_accuracy" in said
    assert "no problems in" in hpsearch("doctor", "--study", "small-confirm").out

    opening = hpsearch("evaluate", "--study", "small", "--json").json
    assert (opening["trial"], opening["seeds"], opening["opened"]) == (verdict["winner"], [3, 4], 1)
    assert hpsearch("export", "--study", "small", "--out", "best.yaml").code == 0
    origin = YAML(typ="safe").load(here / "best.yaml")["provenance"]
    assert origin["trial"] == verdict["winner"]
    assert origin["confirmed"]["mean"] == verdict["confirmed"]

    refused = hpsearch("confirm", "--study", "small", "--seeds", "9")
    assert refused.code == 2
    assert "started with --top 2 --seeds 2, but got --seeds 9" in refused.err
    refused = hpsearch("confirm", "--study", "smal")
    assert refused.code == 2
    assert "unknown study 'smal'. Did you mean 'small'" in refused.err
