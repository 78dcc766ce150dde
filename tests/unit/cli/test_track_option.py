"""``--track`` and ``trackers``: what can't work is said before anything is created."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hpsearch.cli.commands.launch import changes_of

STUDY = """\
study: mine
budget: {trials: 2, epochs_per_trial: 1}
data: {source: digits}
model: mlp
optimizer: {sgd: {lr: {min: 0.01, max: 0.1}}}
"""


@pytest.fixture
def study(here: Path) -> Path:
    path = here / "mine.yaml"
    path.write_text(STUDY)
    return path


@pytest.mark.parametrize(
    ("package", "tracker"),
    [("tensorboard", "tensorboard"), ("wandb", "{wandb: {mode: offline}}"), ("mlflow", "mlflow")],
)
def test_a_package_that_isnt_there_is_named_with_its_extra(
    hpsearch, study, monkeypatch, package, tracker
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    ran = hpsearch("check", "--study", "mine.yaml", "--set", f"trackers=[{tracker}]")
    assert ran.code == 2
    assert f"needs the package {package}, which isn't installed" in ran.err
    assert f"pip install 'hpsearch[{package}]'" in ran.err
    assert "Traceback" not in ran.err


def test_wandb_without_a_key_is_refused_at_the_launch(hpsearch, study, here, monkeypatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(here))
    ran = hpsearch("launch", "--study", "mine.yaml", "--track", "wandb")
    assert ran.code == 2
    assert "run `wandb login`" in ran.err
    assert sorted(path.name for path in here.iterdir()) == ["mine.yaml"]


def test_a_password_in_a_study_file_is_refused_and_not_shown(hpsearch, study) -> None:
    uri = "trackers={mlflow: {uri: 'https://me:hushhush@host/x'}}"
    ran = hpsearch("check", "--study", "mine.yaml", "--set", uri)
    assert ran.code == 2
    assert "takes no password in its uri" in ran.err
    assert "hushhush" not in ran.all


def test_an_unknown_one_is_said_with_those_there_are(hpsearch, study) -> None:
    ran = hpsearch("check", "--study", "mine.yaml", "--set", "trackers.tensorbord=true")
    assert ran.code == 2
    assert "unknown tracker 'tensorbord'. Did you mean 'tensorboard'?" in ran.err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ["trackers.wandb=true", "trackers.mlflow=true"]),
        ("trackers: {wandb: {project: x}}", ["trackers.mlflow=true"]),
        ("trackers: [mlflow, {wandb: {project: x}}]", []),
        ("trackers: wandb", ["trackers.mlflow=true"]),
        ("trackers: {wandb: false}", ["trackers.wandb=true", "trackers.mlflow=true"]),
    ],
)
def test_the_settings_of_the_file_stand(study, line, expected) -> None:
    study.write_text(STUDY + line)
    trackers = ["wandb", "mlflow", "wandb"]
    found = changes(study, ["a=1"], trackers, trials=3)
    assert found == ["a=1", "budget.trials=3", *expected]


def changes(study: Path, overrides: list[str], trackers: list[str], trials: int | None = None):
    return changes_of(
        str(study), storage="sqlite:///none.db", overrides=overrides, trials=trials, epochs=None,
        trackers=trackers,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("override", "added"),
    [
        ("trackers=[{wandb: {mode: offline}}]", ["trackers.mlflow=true"]),
        ("trackers.wandb.mode=offline", ["trackers.mlflow=true"]),
        ("trackers.wandb={mode: offline}", ["trackers.mlflow=true"]),
        ("trackers=mlflow", ["trackers.wandb=true"]),
        ("trackers={wandb: false}", ["trackers.wandb=true", "trackers.mlflow=true"]),
        ("trackers.wandb=false", ["trackers.wandb=true", "trackers.mlflow=true"]),
        ("data.limit=3", ["trackers.wandb=true", "trackers.mlflow=true"]),
    ],
)
def test_the_settings_of_an_override_stand_too(study, override, added) -> None:
    """`--track wandb` beside `--set` that takes W&B offline doesn't ask for a key."""
    assert changes(study, [override], ["wandb", "mlflow"]) == [override, *added]
    study.write_text(STUDY + "trackers: {wandb: {project: x}}\n")
    whole = override.startswith("trackers=")
    expected = added if whole else ["trackers.mlflow=true"]
    assert changes(study, [override], ["wandb", "mlflow"]) == [override, *expected]
