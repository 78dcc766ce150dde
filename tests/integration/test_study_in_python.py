"""A study's model in Python: what the commands do, by methods; and a study that is a dict."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from support.commands import Ran
from support.trials import STUDY, SmallSearch, open_small

from hpsearch import Study, load_model, open_study
from hpsearch.errors import CheckpointError, UserError
from hpsearch.results.ranking import best
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database

Hpsearch = Callable[..., Ran]


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SmallSearch, str]]:
    folder = tmp_path_factory.mktemp("python")
    url = f"sqlite:///{folder / 'hpsearch.db'}"
    database, before = Database(url), torch.get_num_threads()
    ensure_tables(database)
    torch.set_num_threads(1)
    made = open_small(database, folder, folder / "data")
    made.run_all()
    yield made, url
    torch.set_num_threads(before)
    database.close()


@pytest.fixture
def study(search: tuple[SmallSearch, str]) -> Study:
    made, url = search
    return open_study("small", storage=url, runs=made.runs, data=made.data)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for shade in (0, 80, 160):
        Image.new("L", (16, 16), shade).save(folder / f"{shade}.png")
    return folder


def test_export_writes_the_folder_that_load_model_and_predict_read(
    study: Study, search: tuple[SmallSearch, str], photos: Path, hpsearch, here
) -> None:
    written = study.export("best", config="trial.yaml", license="mit")
    assert [path.name for path in written] == [
        "trial.yaml", "best.yaml", "weights.safetensors", "card.md", "classes.txt", "confusion.png"
    ]  # fmt: skip
    assert "license: mit\n" in (here / "best" / "card.md").read_text()
    model = load_model("best")
    assert repr(model) == "<Model best: 1 x 8 x 8 to 10 classes>"
    told = hpsearch("predict", "best", str(photos), "--top", "2", "--json").json
    for labelled in (model.predict(photos, top=2), study.predict(photos, top=2)):
        assert [(str(each.path), each.label) for each in labelled] == [
            (each["file"], each["class"]) for each in told
        ]
        assert [each.probability for each in labelled] == pytest.approx(
            [each["probability"] for each in told]
        )
        assert all(len(each.classes) == 2 for each in labelled)
    with pytest.raises(UserError, match="an export must not replace a file by accident"):
        study.export("best")
    (config,) = study.export()  # as the command does
    assert config.name.startswith("small-trial-") and config.is_file()


def test_the_module_is_the_trained_one(study: Study, search, photos: Path) -> None:
    made, _ = search
    winner = best(made.record())
    assert winner is not None and winner.number is not None
    kept = made.bench().folder.load_best(winner.number)["weights"]
    model = study.load_model()
    assert isinstance(model.module, torch.nn.Module) and not model.module.training
    for name, weights in kept.items():
        assert torch.equal(model.module.state_dict()[name], weights)
    pixels = model.pixels(photos)
    assert (pixels.shape, pixels.dtype) == ((3, 1, 8, 8), torch.float32)
    with torch.no_grad():
        shares = model.module(pixels).softmax(1)
    labels = [model.classes[place] for place in shares.argmax(1)]
    assert labels == [each.label for each in model.predict([photos])]


def test_a_picture_that_cant_be_read_raises_when_its_label_is_used(
    study: Study, photos: Path
) -> None:
    (photos / "torn.png").write_bytes(b"\x89PNG")
    labelled = study.predict(photos)
    assert [each.problem is None for each in labelled] == [True, True, True, False]
    with pytest.raises(UserError, match=r"this one can't: .*torn\.png"):
        _ = labelled[3].label
    with pytest.raises(UserError, match="top must be at least 1, but got 0"):
        study.predict(photos, top=0)


def test_evaluate_opens_the_test_images_and_counts(study: Study, hpsearch, search) -> None:
    made, url = search
    first = study.evaluate(device="cpu")
    assert (first.study, first.opened, first.warnings) == ("small", 1, ())
    low, high = first.interval
    assert low < first.accuracy < high
    assert sum(map(sum, first.confusion)) == first.images
    assert f"Trial {first.trial}: test accuracy" in first._repr_html_()
    again = study.evaluate(device="cpu")
    assert (again.accuracy, again.opened) == (first.accuracy, 2)
    (warning,) = again.warnings
    assert "were opened before (1 time): report the first value" in warning
    folders = ("--runs", str(made.runs), "--data", str(made.data), "--device", "cpu")
    ran = hpsearch("evaluate", "--study", "small", "--storage", url, *folders, "--json")
    assert json.loads(ran.out)["opened"] == 3
    assert "warning: the test images of study 'small' were opened before (2 times)" in ran.err


def test_weights_that_are_elsewhere_are_named(search, tmp_path: Path) -> None:
    made, url = search
    study = open_study("small", storage=url, runs=tmp_path / "none", data=made.data)
    with pytest.raises(CheckpointError, match="only the winner's weights are kept"):
        study.load_model()
    assert study.export(config=tmp_path / "a.yaml") == [tmp_path / "a.yaml"]  # needs no weights


def as_dict(**changes: object) -> dict[str, object]:
    from ruamel.yaml import YAML

    content: dict[str, object] = YAML(typ="safe", pure=True).load(STUDY)
    return {**content, "study": "dict", **changes}


def test_a_dict_is_checked_and_searched_as_a_file_is(tmp_path: Path, here: Path) -> None:
    place = {"storage": f"sqlite:///{tmp_path / 'd.db'}", "data": tmp_path / "data"}
    given = as_dict(budget={"trials": 1, "epochs_per_trial": 1}, try_first=[])
    study = open_study(given, **place)
    given["model"] = "changed after it was opened"
    assert (study.name, study.is_stored) == ("dict", False)
    assert repr(study) == "<Study dict: not launched yet>"
    assert "not launched yet" in study._repr_html_()
    outcome = study.launch(workers=1, progress=False)
    assert (outcome.reason, study.status["trials"]["complete"]) == ("finished", 1)
    stored = open_study("dict", **place)
    assert stored.best == study.best
    file = tmp_path / "same.yaml"
    file.write_text(STUDY)
    wrong = open_study(as_dict(batch_size="many", sede=1), **place, name="wrong")
    with pytest.raises(UserError) as raised:
        wrong.launch(workers=1, progress=False)
    assert "the study's dict: batch_size: " in str(raised.value)
    assert "the study's dict: sede: unknown key" in str(raised.value)


def test_a_dict_needs_a_name() -> None:
    nameless = as_dict()
    del nameless["study"]
    with pytest.raises(
        UserError, match=r"must contain its name under the key 'study', but .* seed"
    ):
        open_study(nameless)
    assert open_study(nameless, name="given").name == "given"
