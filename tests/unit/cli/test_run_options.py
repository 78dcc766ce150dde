"""What `launch` and `confirm` share: each option arrives where a launch looks for it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hpsearch.cli.app import app
from hpsearch.cli.run_options import RunOptions, takes_run_options
from hpsearch.workers.run_config import RunConfig

GIVEN = {
    "--workers": ("auto", "workers", None),
    "--devices": ("cuda:0,cuda:1", "devices", "cuda:0,cuda:1"),
    "--workers-per-gpu": ("3", "workers_per_gpu", 3),
    "--timeout": ("30m", "timeout", 1800.0),
    "--storage": ("sqlite:///other.db", "storage", "sqlite:///other.db"),
    "--runs": ("elsewhere", "runs", Path("elsewhere")),
    "--data": ("images", "data", Path("images")),
    "--lease": ("5", "lease_seconds", 5.0),
    "--checkpoint-interval": ("0", "checkpoint_seconds", 0.0),
}


def parsed(*words: str) -> RunOptions:
    found: list[RunOptions] = []
    command = typer.Typer()

    @command.command()
    @takes_run_options
    def main(study: str, *, run: RunOptions, top: int = 6) -> None:
        assert (study, top) == ("mine", 4)
        found.append(run)

    ran = CliRunner().invoke(command, ["mine", "--top", "4", *words])
    assert ran.exit_code == 0, ran.output
    return found[0]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HPSEARCH_STORAGE", "HPSEARCH_RUNS", "HPSEARCH_DATA"):
        monkeypatch.delenv(name, raising=False)


def test_each_option_arrives_in_the_settings() -> None:
    assert {name for _, name, _ in GIVEN.values()} == {field.name for field in fields(RunConfig)}
    told = parsed(*(f"{option}={text}" for option, (text, _, _) in GIVEN.items())).config()
    assert told == RunConfig(**{name: value for _, name, value in GIVEN.values()})


def test_without_options_a_launch_has_its_own_defaults() -> None:
    run = parsed()
    assert run == RunOptions()
    assert run.config() == RunConfig(storage=run.storage)


@pytest.mark.parametrize("name", ["launch", "confirm"])
def test_the_command_has_them_all_and_no_option_called_run(name: str) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    options = {word for parameter in command.params for word in parameter.opts}
    assert set(GIVEN) <= options
    assert "--run" not in options
