"""Bad input: one clear message, exit code 2, no traceback, nothing created."""

from __future__ import annotations

import pytest

STUDY = """\
study: mine
budget: {trials: 2, epochs_per_trial: 1}
data: {source: digits}
model: {dilated_cnn: {conv1: {channels: 4, kernel_size: 3}, conv2: {channels: 4, kernel_size: 1}}}
optimizer: {sgd: {lr: 0.1}}
"""


@pytest.mark.parametrize(
    ("old", "new", "arguments", "says"),
    [
        pytest.param(
            "{lr: 0.1}", "{lrate: 0.1}", (), ("mine.yaml:5: optimizer.sgd.lrate", "lr"), id="key"
        ),
        pytest.param(
            "{lr: 0.1}", "{lr: fast}", (), ("mine.yaml:5: optimizer.sgd.lr", '"fast"'), id="type"
        ),
        pytest.param(
            "{lr: 0.1}",
            "{lr: {min: 0.5, max: 0.1}}",
            (),
            ("mine.yaml:5: optimizer.sgd.lr", "0.5"),
            id="an empty range",
        ),
        pytest.param(
            "{dilated_cnn:",
            "{dilated_cn:",
            (),
            ("mine.yaml:4: model", "dilated_cn'", "dilated_cnn"),
            id="an unknown model",
        ),
        pytest.param(
            "source: digits",
            "source: {fashion_mnist: {path: /nowhere/at/all}}",
            (),
            ("/nowhere/at/all doesn't exist",),
            id="a missing data folder",
        ),
        pytest.param(
            "kernel_size: 3",
            "kernel_size: 9",
            (),
            ("conv1: kernel 9 spans 9 pixels, but its input is 8 pixels high",),
            id="a kernel larger than the picture",
        ),
        pytest.param(
            "",
            "",
            ("--storage", "postgresql://me:hush@127.0.0.1:9/none"),
            ("postgresql+psycopg://me:***@127.0.0.1:9/none", "onnection refused"),
            id="a database that isn't there",
        ),
        pytest.param(
            "", "", ("--storage", "sqlite:////nowhere/x.db"), ("/nowhere doesn't",), id="no folder"
        ),
        pytest.param(
            "",
            "",
            ("--workers", "-1"),
            ("'--workers'", "a number from 0, or auto, but got -1"),
            id="fewer workers than none",
        ),
        pytest.param(
            "", "", ("--devices", "cuda:99"), ("device 'cuda:99' must exist",), id="no such GPU"
        ),
    ],
)
def test_launch_refuses_it_and_creates_nothing(hpsearch, here, old, new, arguments, says):
    assert old in STUDY
    (here / "mine.yaml").write_text(STUDY.replace(old, new))
    ran = hpsearch("launch", "--study", "mine.yaml", *arguments)
    assert ran.code == 2, ran.out + ran.err
    assert "\nerror: " in f"\n{ran.err}"
    for part in says:
        assert part in ran.err
    assert "Traceback" not in ran.err
    assert "hush" not in ran.err
    assert [path.name for path in here.iterdir()] == ["mine.yaml"]


def test_so_does_the_command_in_a_process_of_its_own(shell):
    (shell.folder / "mine.yaml").write_text(STUDY.replace("kernel_size: 3", "kernel_size: 9"))
    ran = shell.run("launch", "--study", "mine.yaml")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "conv1: kernel 9 spans 9 pixels" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert [path.name for path in shell.folder.iterdir()] == ["mine.yaml"]


def test_every_mistake_of_a_file_is_told_at_once(hpsearch, here):
    wrong = STUDY.replace("{lr: 0.1}", "{lr: fast}").replace("trials: 2", "trials: none")
    (here / "mine.yaml").write_text(wrong)
    ran = hpsearch("check", "--study", "mine.yaml")
    assert ran.code == 2
    assert "mine.yaml:2: budget.trials" in ran.err
    assert "mine.yaml:5: optimizer.sgd.lr" in ran.err
