"""A folder of somebody else must not lead wandb, and the user's API key, to another server."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.errors import UserError
from hpsearch.tracking.wandb import WeightsAndBiases


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("wandb")  # takes a second, so not when the tests are collected
    for name in ("WANDB_BASE_URL", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, *lines: str) -> None:
    folder.mkdir()
    (folder / "settings").write_text("\n".join(("[default]", *lines)) + "\n")


@pytest.mark.parametrize("folder", ["wandb", ".wandb"])
@pytest.mark.parametrize(
    "line", ["base_url = http://evil.example", "https_proxy = http://evil", "api_key = 1"]
)
def test_another_server_is_refused(here: Path, folder: str, line: str) -> None:
    write(here / folder, "project = mine", line)
    key, _, value = line.partition(" = ")
    with pytest.raises(UserError, match=f"reads {folder}/settings .* but it sets {key} to {value}"):
        WeightsAndBiases()
    WeightsAndBiases(mode="offline")


def test_what_wandb_init_writes_is_taken(here: Path) -> None:
    write(here / "wandb", "entity = me", "project = mine", "base_url = https://api.wandb.ai")
    WeightsAndBiases()


def test_a_server_of_ones_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here / "wandb", "base_url = https://wandb.mine/")
    with pytest.raises(UserError, match=r"wandb\.mine"):
        WeightsAndBiases()
    write(here / "config", "base_url = https://wandb.mine")
    WeightsAndBiases()
    monkeypatch.setenv("WANDB_BASE_URL", "https://other.mine")
    with pytest.raises(UserError, match=r"wandb\.mine"):
        WeightsAndBiases()
    (here / "wandb" / "settings").write_bytes(b"\xff no settings")
    WeightsAndBiases()
