"""Profiles of engines: every mistake of the file and of -E, with its line, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.engines.profiles import read_profile
from hpsearch.errors import UnknownName, UserError

WRONG = """\
slurm:
  default: {time: 4x, gpu: 1, cpus: 0}
  big: {time: 0s, env: {1x: 2}, extra: {A_: 1}}
slrum: {}
ray:
  default: {gpus: 5, memory: 4 GB}
kubernetes:
  default: {image: x, memory: 4GB, mount: shared, claim: A_}
"""
MISTAKES = [
    "engines.yaml:2: slurm.default.time: must be a duration with its unit, as in 90s, 30m, 8h or "
    '2d, longer than 0 or null, but got "4x"',
    "engines.yaml:2: slurm.default.gpu: unknown key 'gpu'. Did you mean 'gpus'?",
    "engines.yaml:2: slurm.default.cpus: must be greater than 0, but got 0",
    "engines.yaml:3: slurm.big.time: must be a duration with its unit, as in 90s, 30m, 8h or "
    '2d, longer than 0 or null, but got "0s"',
    'engines.yaml:3: slurm.big.env: must be the name of a variable, but got {"1x": 2}',
    "engines.yaml:3: slurm.big.extra: must be a long option of sbatch, without --",
    "engines.yaml:4: slrum: unknown engine 'slrum'. Did you mean 'slurm'?",
    "engines.yaml:6: ray.default.gpus: must be at most 1, but got 5",
    "engines.yaml:6: ray.default.memory: must be an amount of memory, as in 16G or null",
    "engines.yaml:8: kubernetes.default.memory: must be an amount of memory as Kubernetes writes "
    'it, as in 16Gi, but got "4GB"',
    'engines.yaml:8: kubernetes.default.mount: must be an absolute path, but got "shared"',
    "engines.yaml:8: kubernetes.default.claim: must be a name of a Kubernetes object: lower-case",
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def test_all_mistakes_of_all_engines_are_found_at_once(here):
    (here / "engines.yaml").write_text(WRONG)
    with pytest.raises(UserError) as raised:
        read_profile("slurm")
    lines = str(raised.value).splitlines()
    assert len(lines) == len(MISTAKES)
    for line, start in zip(lines, MISTAKES, strict=True):
        assert line.startswith(start)


def test_a_setting_of_the_command_line_replaces_that_of_the_profile(here):
    (here / "engines.yaml").write_text("slurm:\n  big: {time: 90m, cpus: 8}\n")
    profile = read_profile("slurm:big", ["time=30m", "gpus=2"])
    assert (profile.engine, profile.name) == ("slurm", "big")
    settings = {key: profile.settings[key] for key in ("time", "cpus", "gpus", "partition")}
    assert settings == {"time": "30m", "cpus": 8, "gpus": 2, "partition": None}


def test_a_wrong_setting_of_the_command_line_is_named():
    with pytest.raises(UserError, match=r"-E time=5: time: must be a duration .* but got 5"):
        read_profile("slurm", ["time=5"])
    with pytest.raises(UserError, match=r"unknown key 'tme'. Did you mean 'time'\?"):
        read_profile("slurm", ["tme=5h"])


def test_an_unknown_profile_names_the_known_ones(here):
    (here / "engines.yaml").write_text("slurm:\n  big: {time: 90m}\n")
    with pytest.raises(UnknownName, match=r"unknown profile 'bog'. Did you mean 'big'\?"):
        read_profile("slurm:bog")


def test_the_file_of_the_user_applies_without_one_in_the_folder(here):
    (here / "config" / "hpsearch").mkdir(parents=True)
    (here / "config" / "hpsearch" / "engines.yaml").write_text("slurm:\n  default: {cpus: 3}\n")
    assert read_profile("slurm").settings["cpus"] == 3
    (here / "engines.yaml").write_text("slurm:\n  default: {cpus: 5}\n")
    assert read_profile("slurm").settings["cpus"] == 5
