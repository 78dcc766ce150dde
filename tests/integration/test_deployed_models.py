"""From a search to a model in use: export, train, verify and predict, by commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from sklearn.datasets import load_digits
from support.commands import Ran
from support.trials import SmallSearch, open_small

import hpsearch as hpsearch_package
from hpsearch import component_registries
from hpsearch.failpoints import EXIT_CODE, VARIABLE
from hpsearch.results.export.bundle import read_bundle
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.study_file.loading import load_study
from hpsearch.training.data.picture_files import read_picture
from hpsearch.training.data.prepare import prepare
from hpsearch.training.engine import train

STUDY = """
study: deployed
seed: 5
budget: {trials: 2, epochs_per_trial: 3}
sampler: random
pruner: none
data: {source: {image_folder: {path: PICTURES, colour: gray}}, input_size: 12}
model: {simple_cnn: {conv1_channels: 4, conv2_channels: 4, hidden: [8]}}
optimizer: {adam: {lr: {min: 2e-2, max: 5e-2, log: true}}}
batch_size: 16
"""

Hpsearch = Callable[..., Ran]


@dataclass(frozen=True)
class Deployed:
    """A search that has ended, and its winner as ``best/``."""

    search: SmallSearch
    url: str
    folder: Path

    @property
    def best(self) -> Path:
        return self.folder / "best"

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @property
    def data(self) -> tuple[str, str]:
        return ("--data", str(self.search.data))

    @property
    def stored(self) -> tuple[str, ...]:
        runs = str(self.search.runs)
        return ("--study", "deployed", "--storage", self.url, "--runs", runs, *self.data)

    def figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = frozen(self.best / "best.yaml")["provenance"]["figures"]["last"]
        return figures


def frozen(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(path)
    return document


def pictures_of_digits(folder: Path) -> Path:
    """Write 40 handwritten digits each of 0, 1, 2 as uncompressed files: a byte is a pixel."""
    digits = load_digits()
    pixels = ((digits.images.astype(np.int64) * 255 + 8) // 16).astype(np.uint8)
    for label in (0, 1, 2):
        (folder / str(label)).mkdir(parents=True)
        for index in np.flatnonzero(digits.target == label)[:40]:
            Image.fromarray(pixels[index]).save(folder / str(label) / f"{index:04d}.pgm")
    return folder


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    from hpsearch.cli.app import run_command

    folder = tmp_path_factory.mktemp("deployed")
    url = f"sqlite:///{folder / 'hpsearch.db'}"
    database, before = Database(url), torch.get_num_threads()
    ensure_tables(database)
    pictures = pictures_of_digits(folder / "pictures")
    text = STUDY.replace("PICTURES", str(pictures))
    search = open_small(database, folder, folder / "data", text=text)
    torch.set_num_threads(1)  # as the worker notes
    search.run_all()
    made = Deployed(search, url, folder)
    assert run_command(["export", *made.stored, "--bundle", str(made.best)]) == 0
    yield made
    torch.set_num_threads(before)
    database.close()


def test_predict_says_of_a_validation_image_what_training_said(
    hpsearch: Hpsearch, deployed: Deployed
) -> None:
    study = load_study(deployed.best / "best.yaml", component_registries.registries)
    config = study.trial_config({}, ticket=1)
    torch.set_num_threads(1)
    curve = train(config, data_root=deployed.search.data, keep_predictions=True)
    *_, last = curve
    said = last.val_predictions
    assert said is not None and last.metrics.val_accuracy == deployed.figures()["val_accuracy"]
    assert len(set(said.predicted.tolist())) > 1  # or this shows nothing

    prepared = prepare(config.data, split_seed=config.split_seed, root=deployed.search.data)
    files = sorted(deployed.pictures.rglob("*.pgm"))  # the order in which the source lists them
    validation = [files[row] for row in said.rows]
    ran = hpsearch("predict", str(deployed.best), *map(str, validation), "--top", "3", "--json")
    assert (ran.code, ran.err) == (0, "")
    told = ran.json
    assert [each["file"] for each in told] == list(map(str, validation))
    names = prepared.class_names
    assert [each["class"] for each in told] == [names[label] for label in said.predicted]
    for each, truth, loss in zip(told, said.truth, said.losses, strict=True):
        shares = {entry["class"]: entry["probability"] for entry in each["classes"]}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert shares[names[truth]] == pytest.approx(np.exp(-loss), abs=1e-5)


def test_a_picture_goes_the_way_of_a_training_image(deployed: Deployed) -> None:
    study, classifier = read_bundle(deployed.best)
    config = study.trial_config({}, ticket=1)
    prepared = prepare(config.data, split_seed=config.split_seed, root=deployed.search.data)
    files = sorted(deployed.pictures.rglob("*.pgm"))
    assert read_picture(files[0], "gray").shape == (8, 8, 1)
    for row in (0, 57, 119):
        assert torch.equal(classifier.read(files[row]), prepared.images[row])


def test_predict_in_words_and_what_cant_be_labelled(
    hpsearch: Hpsearch, deployed: Deployed, here: Path
) -> None:
    (here / "in" / "deeper").mkdir(parents=True)
    source = sorted(deployed.pictures.rglob("*.pgm"))[0]
    # In colour, of another size, as another format: it becomes what the model takes
    Image.open(source).convert("RGB").resize((31, 17)).save(here / "in" / "deeper" / "a.png")
    shutil.copy(source, here / "in" / "b.pgm")
    ran = hpsearch("predict", str(deployed.best), "in", "--top", "2")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].split() == ["picture", "class", "1", "probability", "class", "2", "probability"]
    assert [line.split()[0] for line in lines[1:]] == ["in/b.pgm", "in/deeper/a.png"]

    (here / "in" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    ran = hpsearch("predict", str(deployed.best), "in", "missing.png")
    assert ran.code == 2
    assert len(ran.out.splitlines()) == 3
    assert "this one can't: in/torn.png (" in ran.err
    assert "this one can't: missing.png (No such file or directory)" in ran.err
    assert "2 pictures of 4 can't be labelled" in ran.err
    assert "left out" not in ran.err
    (here / "empty").mkdir()
    (here / "empty" / "notes.TXT").touch()
    ran = hpsearch("predict", str(deployed.best), "empty")
    assert (ran.code, ran.out) == (2, "")
    assert "a folder must contain pictures" in ran.err
    assert "contain none (1 .txt)" in ran.err


def test_predict_opens_regular_files_alone_and_counts_what_it_leaves_out(
    hpsearch: Hpsearch, deployed: Deployed, here: Path
) -> None:
    (here / "in").mkdir()
    shutil.copy(sorted(deployed.pictures.rglob("*.pgm"))[0], here / "in" / "b.pgm")
    os.mkfifo(here / "in" / "x.png")
    (here / "in" / "zero.png").symlink_to("/dev/zero")
    for name in ("a.heic", "b.heic", "notes.txt", ".hidden"):
        (here / "in" / name).touch()
    ran = hpsearch("predict", str(deployed.best), "in", "--json")
    assert ran.code == 2
    assert [each["file"] for each in ran.json] == ["in/b.pgm", "in/x.png", "in/zero.png"]
    assert "can't: in/x.png (not a regular file, but a FIFO)" in ran.json[1]["error"]
    assert "can't: in/zero.png (not a regular file, but a device)" in ran.json[2]["error"]
    assert "3 files are left out, because" in ran.err
    assert "(2 .heic, 1 .txt)" in ran.err


def test_a_folder_that_is_no_model_is_named(
    hpsearch: Hpsearch, deployed: Deployed, here: Path
) -> None:
    shutil.copytree(deployed.best, here / "best")
    ran = hpsearch("predict", "nowhere", "a.png")
    assert (ran.code, "nowhere isn't a folder; make one with" in ran.err) == (2, True)

    config = here / "best" / "best.yaml"
    config.write_text(config.read_text().replace("relu", "tanh"))
    ran = hpsearch("predict", "best", "a.png")
    assert ran.code == 2
    assert "must be the weights of the model in best/best.yaml, but they are of another" in ran.err

    (here / "best" / "weights.safetensors").unlink()
    os.mkfifo(here / "best" / "weights.safetensors")
    ran = hpsearch("predict", "best", "a.png")
    assert (ran.code, "can't be read: not a regular file, but a FIFO" in ran.err) == (2, True)
    (here / "best" / "weights.safetensors").unlink()
    (here / "best" / "weights.safetensors").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    ran = hpsearch("predict", "best", "a.png")
    assert (ran.code, "weights best/weights.safetensors are damaged" in ran.err) == (2, True)


def test_the_card_says_what_the_number_means(deployed: Deployed) -> None:
    card = (deployed.best / "card.md").read_text()
    origin = frozen(deployed.best / "best.yaml")["provenance"]
    assert origin["confirmed"] is False
    assert f" (trial {origin['trial']}): val_accuracy " in card
    assert "**UNCONFIRMED.** The best seen is " in card
    assert "(one seed, the best of 2 complete trials: optimistic)." in card
    assert origin["data_hash"] in card and origin["split_hash"] in card
    assert "Test images: not opened." in card
    assert "uint8 (batch, 1, 12, 12): gray, 0..255" in card
    assert "those after epoch 3, which give the trial's value" in card
    rows = [line for line in card.splitlines() if line.startswith(("| 0 |", "| 1 |", "| 2 |"))]
    images = [int(row.split("|")[2]) for row in rows[:3]]
    matrix = [[int(cell) for cell in row.split("|")[2:5]] for row in rows[3:]]
    assert [sum(row) for row in matrix] == images == [8, 8, 8]
    right = sum(matrix[place][place] for place in range(3))
    assert right / 24 == pytest.approx(origin["figures"]["last"]["val_accuracy"])
    assert (deployed.best / "classes.txt").read_text() == "0\n1\n2\n"


def test_the_code_of_the_card_labels_pictures(
    hpsearch: Hpsearch, deployed: Deployed, here: Path
) -> None:
    """Copied out of the card and run beside its folder, as a reader does."""
    shutil.copytree(deployed.best, here / "best")
    (here / "photos").mkdir()
    for path in sorted(deployed.pictures.rglob("*.pgm"))[::30]:
        shutil.copy(path, here / "photos" / f"{path.parent.name}-{path.name}")
    code = re.findall(r"^```python\n(.*?)^```$", (here / "best/card.md").read_text(), re.M | re.S)
    assert len(code) == 1
    assert len([line for line in code[0].splitlines() if line]) == 4
    ran = subprocess.run(
        [sys.executable, "-c", code[0]],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(Path(hpsearch_package.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = hpsearch("predict", "best", "photos", "--json").json
    assert len(told) == 4
    assert [line.split()[:2] for line in ran.stdout.splitlines()] == [
        [each["file"], each["class"]] for each in told
    ]


def test_the_card_has_a_picture_beside_it(deployed: Deployed) -> None:
    card = (deployed.best / "card.md").read_text()
    assert "None" not in card and "|  |" not in card
    (target,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", card)
    assert target == "confusion.png"
    with Image.open(deployed.best / target) as picture:
        assert picture.format == "PNG"


def test_a_bundle_that_is_made_again_keeps_its_license(
    hpsearch: Hpsearch, deployed: Deployed, here: Path
) -> None:
    ran = hpsearch("export", *deployed.stored, "--bundle", "best", "--license", "CC-BY-4.0")
    assert ran.code == 0
    assert "license: cc-by-4.0\n" in (here / "best" / "card.md").read_text()
    ran = hpsearch("train", "best/best.yaml", *deployed.data, "--out", "again")
    assert ran.code == 0, ran.err
    card = (here / "again" / "card.md").read_text()
    assert "license: cc-by-4.0\n" in card and "None" not in card
    assert 'hpsearch.load_model("again")' in card

    # Without validation images there is no matrix
    ran = hpsearch("train", "best/best.yaml", *deployed.data, "--on", "all", "--out", "all")
    assert ran.code == 0, ran.err
    card = (here / "all" / "card.md").read_text()
    assert not (here / "all" / "confusion.png").exists() and "confusion.png" not in card
    assert "None" not in card
    ran = hpsearch("export", *deployed.stored, "--bundle", "x", "--license", "?")
    assert (ran.code, "a license must be an identifier such as mit" in ran.err) == (2, True)
    assert not (here / "x").exists()


def test_the_example_of_the_docs_says_what_predict_says(
    hpsearch: Hpsearch, deployed: Deployed, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("--onnx", "best.onnx", "--torch-export", "best.pt2", "--card", "card.md")
    told = hpsearch("export", *deployed.stored, *files, "--json").json
    assert set(told["files"]) == {"onnx", "torch_export", "card"}
    assert max(told["differences"].values()) < 1e-5
    source = sorted(deployed.pictures.rglob("*.pgm"))[50]
    Image.open(source).convert("RGB").save(here / "photo.png")
    (best,) = hpsearch("predict", str(deployed.best), "photo.png", "--json").json

    page = Path(hpsearch_package.__file__).parents[1] / "docs" / "exports.md"
    (code,) = re.findall(r"```python\n(.+?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(code, {})
    name, share = capsys.readouterr().out.split()
    assert name == best["class"]
    assert float(share) == pytest.approx(best["probability"], abs=1e-5)
    program = torch.export.load("best.pt2").module()
    pixels = read_bundle(deployed.best)[1].read(here / "photo.png")
    assert float(program(pixels[None])[1].max()) == pytest.approx(best["probability"], abs=1e-5)


def test_an_export_replaces_nothing_and_needs_the_kept_weights(
    hpsearch: Hpsearch, deployed: Deployed, here: Path
) -> None:
    (here / "card.md").write_text("mine")
    ran = hpsearch("export", *deployed.stored, "--card", "card.md", "--out", "new.yaml")
    assert (ran.code, "card.md exists" in ran.err) == (2, True)
    assert sorted(path.name for path in here.iterdir()) == ["card.md"]

    winner = frozen(deployed.best / "best.yaml")["provenance"]["trial"]
    (loser,) = {0, 1} - {winner}
    named = ("--trial", str(loser), "--weights", "w.safetensors")
    ran = hpsearch("export", *deployed.stored, *named)
    assert ran.code == 2
    assert "only the winner's weights are kept" in ran.err
    assert "train best.yaml --out" in ran.err
    assert not (here / "w.safetensors").exists()


def test_weights_that_were_exchanged_are_refused(
    hpsearch: Hpsearch, deployed: Deployed, here: Path
) -> None:
    from hpsearch.training import checkpoint

    shutil.copytree(deployed.search.runs, here / "runs")
    (kept,) = (here / "runs").rglob("best.pt")
    content = checkpoint.load(kept)
    content["weights"] = {name: -value for name, value in content["weights"].items()}
    checkpoint.save(kept, content)
    arguments = list(deployed.stored)
    arguments[arguments.index("--runs") + 1] = "runs"
    ran = hpsearch("export", *arguments, "--weights", "w.safetensors")
    assert ran.code == 1
    assert "the stored weights must give the recorded validation accuracy of epoch 3" in ran.err
    assert not (here / "w.safetensors").exists()


def test_verify_comes_to_the_same_figures(hpsearch: Hpsearch, deployed: Deployed) -> None:
    ran = hpsearch("verify", str(deployed.best / "best.yaml"), *deployed.data)
    assert (ran.code, ran.err) == (0, "")
    assert "reproduced exactly: every metric equals the recorded value\nverified\n" in ran.out
    accuracy = deployed.figures()["val_accuracy"]
    assert (
        f"val_accuracy {100 * accuracy:.4f} %, recorded {100 * accuracy:.4f} %; expected" in ran.out
    )
    assert "95 % interval of the recorded value over 24 validation images, unconfirmed" in ran.out


def changed(deployed: Deployed, here: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """Write best.yaml with its provenance changed; returns its name."""
    document = frozen(deployed.best / "best.yaml")
    document["data"]["source"]["image_folder"]["path"] = str(deployed.pictures)
    change(document["provenance"])
    with (here / "changed.yaml").open("w") as file:
        YAML().dump(document, file)
    return "changed.yaml"


def test_a_project_works_in_another_folder_and_names_no_home(
    hpsearch: Hpsearch, deployed: Deployed, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that people publish: their paths are relative to themselves."""
    monkeypatch.setenv("HOME", str(deployed.folder.parent))
    assert frozen(deployed.best / "best.yaml")["data"]["source"]["image_folder"]["path"] == (
        "../pictures"
    )
    published = [
        (deployed.folder / "out" / "c.md", "--card"),
        (deployed.folder / "m.onnx", "--onnx"),
        (deployed.folder / "m.pt2", "--torch-export"),
        (deployed.folder / "w.safetensors", "--weights"),
    ]
    published[0][0].parent.mkdir()
    options = [part for path, option in published for part in (option, str(path))]
    assert hpsearch("export", *deployed.stored, *options).code == 0
    assert "path: ../pictures," in published[0][0].read_text()
    report = here / "report"
    assert hpsearch("report", *deployed.stored[:4], *deployed.data, "--out", str(report)).code == 0
    for path in (*(each for each, _ in published), *deployed.best.iterdir(), *report.glob("*.*")):
        if path.is_file():
            assert str(deployed.folder).encode() not in path.read_bytes(), path
            assert str(Path(hpsearch_package.__file__).parent).encode() not in path.read_bytes()
    with zipfile.ZipFile(published[2][0]) as archive:
        for name in archive.namelist():
            assert str(Path(hpsearch_package.__file__).parent).encode() not in archive.read(name)

    for name in ("best", "pictures"):
        shutil.copytree(deployed.folder / name, here / "copy" / name)
    ran = hpsearch("verify", str(here / "copy" / "best" / "best.yaml"), *deployed.data)
    assert (ran.code, "reproduced exactly" in ran.out) == (0, True)


def test_who_has_the_images_elsewhere_is_told_how_to_name_the_place(
    hpsearch: Hpsearch, deployed: Deployed, here: Path
) -> None:
    shutil.copytree(deployed.best, here / "alone")
    (here / "images").symlink_to(deployed.pictures)
    config, key = "alone/best.yaml", "data.source.image_folder.path"
    for command in ("train", "verify"):
        ran = hpsearch(command, config, *deployed.data)
        assert ran.code == 2
        assert ran.err == (
            "error: the images of 'deployed' must be at the paths in its file, but there is "
            f"nothing: {key} is {here / 'pictures'}; give their paths on this machine with --set "
            f"{key}=PATH, or in the file\n"
        )
        ran = hpsearch(command, config, *deployed.data, "--set", f"{key}=images")
        assert (ran.code, "reproduced exactly" in ran.out) == (0, True)
    ran = hpsearch("verify", config, *deployed.data, "--set", "batch_size=8")
    assert ran.code == 2
    assert "--set may only set the paths of its images and plug-ins" in ran.err
    assert "but got batch_size=8" in ran.err
    # Files of older versions name their images by an absolute path
    old = Path(config).read_text().replace("path: ../pictures", f"path: {deployed.pictures}")
    Path("old.yaml").write_text(old)
    assert hpsearch("verify", "old.yaml", *deployed.data).code == 0


def test_verify_fails_where_the_figure_leaves_its_interval(
    hpsearch: Hpsearch, deployed: Deployed, here: Path
) -> None:
    def claim(origin: dict[str, Any]) -> None:
        origin["figures"]["last"]["val_accuracy"] = 0.01

    ran = hpsearch("verify", changed(deployed, here, claim), *deployed.data, "--json")
    assert ran.code == 1
    told = ran.json
    assert (told["holds"], told["exact"]) == (False, False)
    assert told["value"] == deployed.figures()["val_accuracy"] > told["expected"]["high"]


@pytest.mark.parametrize(("low", "code"), [(0.0, 0), (0.999, 1)], ids=["inside", "outside"])
def test_a_confirmed_figure_is_verified_by_its_prediction_interval(
    hpsearch: Hpsearch, deployed: Deployed, here: Path, low: float, code: int
) -> None:
    def confirm(origin: dict[str, Any]) -> None:
        seeds = {"6": 0.9, "7": 0.91}
        told = {"metric": "val_accuracy", "next_training": [low, 1.0], "seeds": seeds}
        origin["confirmed"] = told

    ran = hpsearch("verify", changed(deployed, here, confirm), *deployed.data)
    assert ran.code == code
    assert (
        f"expected {100 * low:.4f} to 100.0000 % (the 95 % interval of one more training" in ran.out
    )
    # Another seed would have come elsewhere; this is the same training
    assert "reproduced exactly: every metric equals the recorded value" in ran.out


def test_one_byte_of_a_picture_makes_verify_fail_by_name(
    hpsearch: Hpsearch, deployed: Deployed, here: Path
) -> None:
    shutil.copytree(deployed.pictures, here / "pictures")
    picture = sorted((here / "pictures").rglob("*.pgm"))[7]
    content = bytearray(picture.read_bytes())
    content[-1] ^= 1
    picture.write_bytes(content)
    shutil.copytree(deployed.best, here / "best")
    ran = hpsearch("verify", "best/best.yaml")
    assert (ran.code, ran.out) == (1, "")
    recorded = frozen(deployed.best / "best.yaml")["provenance"]["data_hash"]
    assert (
        f"data: images differ from those that the config was made with: expected {recorded}, "
        in (ran.err)
    )
    assert "found " in ran.err and "nothing was trained" in ran.err

    content[0] ^= 1  # no picture any more
    picture.write_bytes(content)
    ran = hpsearch("verify", "best/best.yaml", "--data", "elsewhere", "--json")
    assert ran.code == 1
    (difference,) = ran.json["data"]
    assert difference.startswith("data: the images can't be read: ")
    assert picture.name in difference

    shutil.rmtree(here / "pictures")
    ran = hpsearch("verify", "best/best.yaml", "--data", "another")
    assert (ran.code, "but there is nothing: " in ran.err) == (2, True)


def test_train_writes_a_model_and_goes_on_after_a_kill(
    hpsearch: Hpsearch, deployed: Deployed, here: Path
) -> None:
    arguments = ["train", str(deployed.best / "best.yaml"), "--out", "model", *deployed.data]
    every_epoch = [*arguments, "--checkpoint-interval", "0"]
    environment = {**os.environ, VARIABLE: "checkpoint_synced:2"}
    killed = subprocess.run(
        [sys.executable, "-m", "hpsearch", *every_epoch],
        env=environment,
        cwd=here,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert killed.returncode == EXIT_CODE, killed.stderr
    assert not (here / "model" / "best.yaml").exists()
    ran = hpsearch("predict", "model", "a.png")
    assert "has no best.yaml" in ran.err

    ran = hpsearch(*every_epoch)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert "continues after epoch 1, saved in model" in lines
    assert [line.split()[1] for line in lines if line.startswith("epoch ")] == ["2/3", "3/3"]
    assert any(line.startswith("reproduced exactly: every metric equals that of") for line in lines)
    left = {path.name for path in (here / "model" / ".training").iterdir()}
    assert left == {"progress.json", "lock"}

    _, made = read_bundle(here / "model")
    _, exported = read_bundle(deployed.best)
    for name, weights in exported.model.state_dict().items():
        assert torch.equal(made.model.state_dict()[name], weights), name
    assert made.signature == exported.signature

    ran = hpsearch(*arguments)
    assert "already trained, in model: nothing is left to do" in ran.out
    assert "reproduced exactly" in ran.out
    other = [*arguments[:2], "--out", "model", "--set", "batch_size=8", *deployed.data]
    ran = hpsearch(*other)
    assert (ran.code, "model contains another training; choose another --out" in ran.err) == (
        2,
        True,
    )
    ran = hpsearch("train", arguments[1], "--out", str(deployed.best), *deployed.data)
    assert (ran.code, "contains one that wasn't trained there" in ran.err) == (2, True)


def test_ctrl_c_saves_and_the_same_command_goes_on(
    hpsearch: Hpsearch, deployed: Deployed, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    from hpsearch.workers.trial.training_session import TrainingSession

    arguments = ("train", str(deployed.best / "best.yaml"), "--out", "model", *deployed.data)
    keep, before = TrainingSession._keep, signal.getsignal(signal.SIGINT)

    def press_in_epoch_1(self: TrainingSession, result: Any) -> None:
        keep(self, result)
        if result.epoch == 1:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingSession, "_keep", press_in_epoch_1)
        ran = hpsearch(*arguments)
    assert ran.code == 0
    assert "it is saved in model, and the same command continues" in ran.err
    assert signal.getsignal(signal.SIGINT) is before
    ran = hpsearch(*arguments)
    assert "continues after epoch 1, saved in model" in ran.out
    assert "reproduced exactly" in ran.out


def test_a_damaged_checkpoint_is_told_and_training_begins_again(
    hpsearch: Hpsearch, deployed: Deployed, here: Path
) -> None:
    from hpsearch.training import checkpoint

    arguments = ("train", str(deployed.best / "best.yaml"), "--out", "model", *deployed.data)
    assert hpsearch(*arguments).code == 0
    place = here / "model" / ".training"
    checkpoint.save(place / "epoch-0001.pt", {})
    told = json.loads((place / "progress.json").read_text())
    told = {"identity": told["identity"], "checkpoint": "epoch-0001.pt", "sha256": "0" * 64}
    (place / "progress.json").write_text(json.dumps(told))
    ran = hpsearch(*arguments)
    assert ran.code == 0
    assert "starts again: checkpoint model/.training/epoch-0001.pt isn't the file" in ran.err
    assert "reproduced exactly" in ran.out


def test_on_all_images_there_are_no_validation_figures(
    hpsearch: Hpsearch, deployed: Deployed, here: Path
) -> None:
    config = str(deployed.best / "best.yaml")
    both = ("--on", "train+validation", *deployed.data)
    ran = hpsearch("train", config, "--out", "all", *both)
    assert (ran.code, ran.err) == (0, "")
    assert "120 images, those for validation among them (so there are no validation" in ran.out
    assert "ends after epoch 3" in ran.out
    assert "validation accuracy" not in ran.out and "val loss" not in ran.out
    assert "reproduced" not in ran.out
    _, made = read_bundle(here / "all")
    assert made.signature.trained_on == "train+validation"
    card = (here / "all" / "card.md").read_text()
    assert "they have no validation metrics" in card
    # What the file claims is still what it was: the training without these images
    told = hpsearch("verify", "all/best.yaml", *deployed.data, "--json").json
    assert told["exact"] is True

    plateau = ("--set", "lr_schedule=plateau")
    ran = hpsearch("train", config, *plateau, *both)
    assert (ran.code, "lr_schedule plateau uses the validation loss" in ran.err) == (2, True)


def test_several_seeds_are_told_with_mean_and_spread(
    hpsearch: Hpsearch, deployed: Deployed, here: Path
) -> None:
    config = str(deployed.best / "best.yaml")
    told = hpsearch("train", config, "--seeds", "3", "--out", "m", *deployed.data, "--json").json
    values = [each["final"]["val_accuracy"] for each in told["seeds"]]
    assert len({each["seed"] for each in told["seeds"]}) == 3
    assert told["reproduced"] is True
    assert told["mean"] == pytest.approx(np.mean(values))
    assert told["standard_deviation"] == pytest.approx(np.std(values, ddof=1))
    # Each is a model of its own, whose file says what was trained
    second = frozen(here / "m" / "seed-2" / "best.yaml")["provenance"]
    assert second["trial_seed"] == told["seeds"][1]["seed"]
    again = hpsearch("verify", "m/seed-2/best.yaml", *deployed.data, "--json").json
    assert (again["exact"], again["value"]) == (True, values[1])
    ran = hpsearch("train", config, "--seeds", "3", "--out", "m", *deployed.data)
    assert ran.out.count("nothing is left to do") == 3
    assert (
        f"val_accuracy over 3 seeds: mean {100 * np.mean(values):.4f} %, standard deviation"
        in ran.out
    )


@pytest.mark.parametrize("origin", ["changed", "written by hand"])
def test_a_config_with_other_settings_becomes_a_model_that_tells_its_own_figures(
    hpsearch: Hpsearch, deployed: Deployed, here: Path, origin: str
) -> None:
    config, shorter = deployed.best / "best.yaml", ("--set", "budget.epochs_per_trial=2")
    if origin == "written by hand":
        document = frozen(config)
        del document["provenance"]
        document["data"]["source"]["image_folder"]["path"] = str(deployed.pictures)
        config, shorter = here / "mine.yaml", ()
        with config.open("w") as file:
            YAML().dump(document, file)
    arguments = ("train", str(config), *shorter, *deployed.data, "--out", "m", "--json")
    told = hpsearch(*arguments).json
    assert told["recorded"] is None
    made = frozen(here / "m" / "best.yaml")
    figures = made["provenance"]["figures"]["last"]
    assert figures["val_accuracy"] == told["final"]["val_accuracy"]
    assert figures["epoch"] == made["budget"]["epochs_per_trial"] == (2 if shorter else 3)
    assert made["provenance"]["confirmed"] is False
    assert "One training of this config, with one seed." in (here / "m" / "card.md").read_text()
    assert hpsearch("verify", "m/best.yaml", *deployed.data, "--json").json["exact"] is True
