"""`launch --confirm`: from a study file to a winner that was confirmed, by commands alone."""

from __future__ import annotations

from ruamel.yaml import YAML

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


def test_launch_confirm_evaluate_export(shell):
    (shell.folder / "small.yaml").write_text(STUDY)
    told = shell.done("launch", "--study", "small.yaml", "--workers", "2", "--confirm")
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
        assert line in told, line

    verdict = shell.json("confirm", "--study", "small")
    assert (verdict["finished"], verdict["ended"], verdict["nth"]) == (True, "finished", 1)
    assert verdict["winner"] in [each["standing"]["trial"] for each in verdict["finalists"]]
    assert verdict["best_seen"] - verdict["confirmed"] == verdict["optimism"]
    assert all(each["cost"]["latency_seconds"] > 0 for each in verdict["finalists"])
    seeds = verdict["reported"]
    assert sorted(seeds) == ["3", "4"]

    status = shell.json("status", "--study", "small")
    assert status["confirmation"] == {
        "study": "small-confirm",
        "finished": True,
        "trainings": shell.json("status", "--study", "small-confirm")["trials"]["total"],
        "winner": verdict["winner"],
        "value": verdict["confirmed"],
        "newer_trials": 0,
    }
    assert f"confirmed: trial {verdict['winner']}, val_accuracy " in shell.done(
        "status", "--study", "small"
    )
    assert "all is well" in shell.done("doctor", "--study", "small-confirm")

    opening = shell.json("evaluate", "--study", "small")
    assert (opening["trial"], opening["seeds"], opening["opened"]) == (verdict["winner"], [3, 4], 1)
    shell.done("export", "--study", "small", "--out", "best.yaml")
    origin = YAML(typ="safe").load(shell.folder / "best.yaml")["provenance"]
    assert origin["trial"] == verdict["winner"]
    assert origin["confirmed"]["mean"] == verdict["confirmed"]

    refused = shell.run("confirm", "--study", "small", "--seeds", "9")
    assert refused.returncode == 2
    assert "begun with --top 2 --seeds 2, but got --seeds 9" in refused.stderr
    refused = shell.run("confirm", "--study", "smal")
    assert refused.returncode == 2
    assert "unknown study 'smal'. Did you mean 'small'" in refused.stderr
