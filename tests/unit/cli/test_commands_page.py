"""docs/commands.md names every command, and every example in it is one that hpsearch takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

import hpsearch
from hpsearch.cli.app import COMMANDS, app

PAGE = (Path(hpsearch.__file__).parents[1] / "docs" / "commands.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^    hpsearch (.+)$", PAGE, flags=re.MULTILINE)


def test_every_command_has_its_section():
    sections = re.findall(r"^### (.+)$", PAGE, flags=re.MULTILINE)
    known = [name for commands in COMMANDS.values() for name in commands]
    assert set(sections) == {
        *known, "data list", "data prepare", "prior add", "prior show", "prior remove",
        "storage copy",
    }  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_understood(example):
    words = shlex.split(example.partition(" > ")[0])
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context("hpsearch", words)


@pytest.mark.parametrize("name", [name for names in COMMANDS.values() for name in names])
def test_examples_in_the_help_stand_on_lines_of_their_own(name):
    text = typer.main.get_command(app).commands[name].help or ""
    # click's mark for "leave these lines as they are" is the character, not what stands for it
    assert "\\b" not in text
    assert "\n\nhpsearch " not in text
