"""How to repeat the study: commands, seeds, hashes, versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpsearch.reporting.blocks import Commands, Facts, Section, Text
from hpsearch.reporting.content import StudyContent


def reproduce(content: StudyContent) -> Section:
    """Return how to repeat the study."""
    name = content.name
    attributes = content.noted
    trainings = attributes.get("trainings")
    # Folds or repeated splits: a trial has a model for each
    per_model = f" (each of {_join(trainings)} models of a trial)" if trainings else ""
    facts = [
        ("Study's fingerprint", content.fingerprint),
        ("Seed", str(content.seed)),
        ("Data hash (SHA-256)", _join(attributes.get("data_hash"))),
        ("Split hash (SHA-256)", _join(attributes.get("split_hash"))),
        (
            "Images",
            f"{_join(attributes.get('train_images'))} for training{per_model}, "
            f"{_join(attributes.get('val_images'))} for validation",
        ),
        ("Device", _join(attributes.get("device"))),
        ("Threads", _join(attributes.get("threads"))),
        ("Precision", _join(attributes.get("precision"))),
        ("Created", content.created_at),
        (
            "Versions that made this report",
            ", ".join(f"{package} {version}" for package, version in content.versions.items()),
        ),
    ]
    export = f"{name}.best.yaml"
    options = [] if content.confirmed is None else content.confirmed.options
    # Finalists are compared by one objective; with several, a point of the front is exported
    several_goals = len(content.objectives) > 1
    confirm = [] if several_goals else [" ".join([f"hpsearch confirm --study {name}", *options])]
    pick = " --pick knee" if several_goals else ""
    return Section(
        name="reproduce",
        title="How to reproduce",
        blocks=[
            Commands(
                label="Commands to reproduce the result",
                lines=[
                    f"hpsearch launch --study {name}.yaml",
                    *confirm,
                    f"hpsearch export --study {name}{pick} --out {export}",
                    f"hpsearch train {export}     # trains the winner again",
                    f"hpsearch verify {export}    # checks that data and metrics are the same",
                ],
            ),
            Facts(facts=facts),
            Text(text="The study file of the launch", style="heading"),
            Text(text="With every default, and the changes of the command line."),
            Commands(label=f"Study file of {name}", lines=content.text.rstrip("\n").split("\n")),
        ],
    )


def _join(values: Sequence[Any] | None) -> str:
    return ", ".join(str(value) for value in values[:6]) if values else "unknown"
