"""docs/extending.md keeps its word: every block on the page is a file that works."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from support.searching import epoch_metrics

from hpsearch.cli.app import run_command
from hpsearch.component_registries import registries
from hpsearch.errors import InfeasibleConfig
from hpsearch.metric_registry import METRICS
from hpsearch.registry import Component, load_plugin
from hpsearch.study_file.loading import load_study
from hpsearch.study_file.space import Choice, Parameter, Scalar
from hpsearch.study_file.study import StudyFile
from hpsearch.tracking.tracker import TrackedTrial
from hpsearch.tracking.tracking import Tracking
from hpsearch.training.engine import train
from hpsearch.training.plan import plan

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"

#: (language, contents); the first line is the name of the file.
BLOCKS: list[tuple[str, str]] = re.findall(
    r"^```(python|yaml)\n(# (?:[a-z_]+\.\w+)\n.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
)

NAMES = [contents.partition("\n")[0].removeprefix("# ") for _, contents in BLOCKS]
STUDIES = [name for name in NAMES if name.endswith(".yaml")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page's files side by side; what they register is forgotten afterwards."""
    folder = tmp_path_factory.mktemp("page")
    for name, (_, contents) in zip(NAMES, BLOCKS, strict=True):
        (folder / name).write_text(contents)
    with pytest.MonkeyPatch.context() as patch:
        for registry in (*registries().values(), METRICS):
            patch.setattr(registry, "_entries", dict(registry._entries))
        patch.setattr(METRICS, "directions", dict(METRICS.directions))
        patch.setenv("HPSEARCH_DATA", str(folder / "data"))
        yield folder


def drawn(study: StudyFile, ticket: int) -> dict[str, Scalar]:
    """Return a random point of the study's space."""
    generator = torch.Generator().manual_seed(ticket)

    def suggest(path: str, parameter: Parameter) -> Scalar:
        share = torch.rand(1, generator=generator).item()
        if isinstance(parameter, Choice):
            return parameter.labels[int(share * len(parameter.labels))]
        value = parameter.low + share * (parameter.high - parameter.low)
        return round(value) if parameter.integer else value

    return dict(study.space.draw(suggest).params)


def test_every_block_has_a_file() -> None:
    """A block that the pattern missed would be a block that nobody runs."""
    assert PAGE.read_text().count("```python") + PAGE.read_text().count("```yaml") == len(BLOCKS)
    assert len(STUDIES) == 4
    assert len(set(NAMES)) == len(NAMES)


def test_a_model_in_ten_lines() -> None:
    first = BLOCKS[0][1]
    assert len(first[first.index("@MODELS") :].rstrip().splitlines()) <= 10


@pytest.mark.parametrize("name", STUDIES)
class TestStudies:
    def test_check_accepts_it(self, folder: Path, name: str, capsys: Any) -> None:
        assert run_command(["check", "--study", str(folder / name)]) == 0
        assert capsys.readouterr().err == ""

    def test_its_schema_knows_its_plugins(self, folder: Path, name: str, capsys: Any) -> None:
        assert run_command(["schema", "--study", str(folder / name)]) == 0
        schema = json.loads(capsys.readouterr().out)
        content = YAML(typ="safe", pure=True).load(folder / name)
        assert list(Draft202012Validator(schema).iter_errors(content)) == []
        assert set(content["model"]) <= set(re.findall(r'"(\w+)"', json.dumps(schema)))

    def test_every_draw_can_be_built_and_the_first_is_trained(
        self, folder: Path, name: str
    ) -> None:
        study = load_study(folder / name, registries, overrides=["data.limit=100"])

        configs = [study.trial_config(drawn(study, ticket), ticket) for ticket in range(1, 13)]
        plans = [plan(config) for config in configs]
        first = next(train(configs[0]))

        assert {config.model.name for config in configs} == set(study.document["model"])
        assert all(planned.model.parameters > 0 for planned in plans)
        assert 0 <= first.metrics.val_accuracy <= 1


def test_the_tracker_goes_on_where_it_was(folder: Path) -> None:
    load_plugin(folder / "my_tracker.py")
    trial = TrackedTrial(
        study="s",
        study_key="k",
        number=3,
        params={},
        facts={},
        metric="val_accuracy",
        confirms=False,
        folder=folder / "runs",
    )
    lines = Component("json_lines", {"folder": str(folder / "lines")})
    for curve, state in (([1, 2], "paused"), ([1, 2, 3], "complete")):
        tracking = Tracking([lines])
        tracking.begin(trial, [epoch_metrics(epoch, 0.5) for epoch in curve])
        tracking.end(state, 0.5)
        tracking.close(60)
    written = (folder / "lines" / "k-3.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in written] == [1, 2, 3]
    assert {"train_accuracy", "val_accuracy", "train_loss", "val_loss"} < json.loads(
        written[0]
    ).keys()
    assert (folder / "lines" / "k-3.end").read_text() == "complete 0.5"


def test_a_draw_that_doesnt_fit_says_so(folder: Path) -> None:
    study = load_study(
        folder / "my_cnn_study.yaml", registries, overrides=["model.patches.stem.patch=9"]
    )

    with pytest.raises(InfeasibleConfig) as raised:
        plan(study.trial_config(drawn(study, 1), 1))
    assert str(raised.value) == (
        "stem: patch must fit the image, but 9 > 8 pixels; "
        "use a smaller patch or a larger input_size"
    )
