"""Every study that is shipped, on real pictures: it can be checked, and it searches.

Few pictures, one epoch, two trials each, all in this process. The pictures are scikit-learn's
digits, Fashion-MNIST (Debian's package ``dataset-fashion-mnist``), and two sets of emoji that
``HPSEARCH_TEST_DATA`` (or ``shared/data`` beside the repository) holds.
"""

from __future__ import annotations

import os
import pickle
import shlex
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.trials import SmallSearch

from hpsearch.component_registries import registries
from hpsearch.results.opening import study_file
from hpsearch.results.question import structured_question
from hpsearch.results.records import read_study
from hpsearch.results.space_report import inspect_space, require_feasible
from hpsearch.results.trial_attributes import read
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger import queries, studies
from hpsearch.study_file.inherit import InheritedConfig
from hpsearch.study_file.loading import load_study
from hpsearch.study_file.space import Choice, Range
from hpsearch.study_file.study import StudyFile
from hpsearch.training.data.images import Images
from hpsearch.training.data.prepare import build_source, prepare

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted(path.stem for path in (ROOT / "studies").glob("*.yaml"))
REPORTS = sorted((ROOT / "studies" / "reports").glob("*.yaml"))
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
SHARED = Path(os.environ.get("HPSEARCH_TEST_DATA") or ROOT.parent / "shared" / "data")

DIGITS = ["data.source=digits", "data.limit=100"]
FASHION = ["data.source=fashion_mnist", "data.limit=100"]

#: What makes each study small. A part in braces names pictures that may not be here.
SMALL: dict[str, list[str]] = {
    "activations": DIGITS,
    "big_vs_small": ["data.source.cifar10.path={cifar10}"],
    "cnn_architectures": [*FASHION, "data.input_size=32", "model.resnet50.weights=none"],
    "cnn_dilation": DIGITS,
    "dense_architectures": FASHION,
    "emoji": ["data.source.pickled_dict.path={emoji5_32.pkl}"],
    "input_size": ["data.source.image_folder.path={emoji_folder}"],
    "optimizers": DIGITS,
    "quickstart": ["data.limit=100"],
    "regularization": DIGITS,
    "training": DIGITS,
}


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs {name} (HPSEARCH_TEST_DATA names its folder)")
    return path


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def emoji_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = shared("emoji_folder.tar")
    target = tmp_path_factory.mktemp("emoji")
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    return target / "emoji_folder"


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """Pictures of clothes as two batches in CIFAR-10's format; there is no test batch."""
    pictures = fashion(data_root)
    folder = tmp_path_factory.mktemp("cifar") / "cifar-10-batches-py"
    folder.mkdir()
    for number, begin in ((1, 0), (2, 120)):
        part = slice(begin, begin + 120)
        edges = np.pad(np.asarray(pictures.images[part])[..., 0], ((0, 0), (2, 2), (2, 2)))
        planes = np.repeat(edges.reshape(120, 1, 1024), 3, axis=1).reshape(120, 3072)
        labels = [int(label) for label in pictures.labels[part]]
        batch = {b"data": planes, b"labels": labels, b"batch_label": f"batch {number}".encode()}
        (folder / f"data_batch_{number}").write_bytes(pickle.dumps(batch, protocol=2))
    return folder


def fashion(data_root: Path) -> Images:
    if not FASHION_MNIST.is_dir():
        pytest.skip("needs Fashion-MNIST (Debian's package dataset-fashion-mnist)")
    study = load("dense_architectures", "data.source=fashion_mnist")
    return build_source(first_config(study).data, data_root).train.read()


def load(name: str, *overrides: str) -> StudyFile:
    return load_study(ROOT / "studies" / f"{name}.yaml", registries, overrides=overrides)


def first_config(study: StudyFile, entry: int = 0) -> Any:
    """Return what the entry of try_first comes to; what it leaves open is the first or lowest."""
    given = study.try_first[entry] if study.try_first else {}
    draw = study.space.draw(
        lambda path, parameter: (
            given[path]
            if path in given
            else getattr(parameter, "labels", [getattr(parameter, "low", None)])[0]
        )
    )
    return study.trial_config(draw.params, ticket=1)


@pytest.fixture
def small(request: pytest.FixtureRequest) -> Callable[[str], list[str]]:
    """Return the overrides that make a study small, or skip where its pictures aren't here."""

    def overrides(name: str) -> list[str]:
        found = []
        for each in SMALL[name]:
            path, _, value = each.partition("=")
            if value.endswith(".pkl}"):
                value = str(shared(value[1:-1]))
            elif value.startswith("{"):
                value = str(request.getfixturevalue(value[1:-1]))
            elif value == "fashion_mnist" and not FASHION_MNIST.is_dir():
                pytest.skip("needs Fashion-MNIST (Debian's package dataset-fashion-mnist)")
            found.append(f"{path}={value}")
        return found

    return overrides


@dataclass
class Place:
    """A new database, and where its runs go."""

    database: Database
    url: str
    folder: Path
    data: Path

    def launch(self, study: StudyFile) -> SmallSearch:
        """Run every trial of the study's budget."""
        search = SmallSearch(
            database=self.database,
            study=study,
            stored=studies.attach(self.database, study),
            runs=self.folder / "runs",
            data=self.data,
        )
        search.run_all()
        return search


@pytest.fixture
def place(tmp_path: Path, data_root: Path) -> Iterator[Place]:
    url = f"sqlite:///{tmp_path / 'hpsearch.db'}"
    database = Database(url)
    ensure_tables(database)
    yield Place(database=database, url=url, folder=tmp_path, data=data_root)
    database.close()


def test_every_study_is_launched_here() -> None:
    assert sorted(SMALL) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_two_trials_of_a_study(name: str, place: Place, small: Any, data_root: Path) -> None:
    budget = ["budget.trials=2", "budget.epochs_per_trial=1"]
    study = load(name, *small(name), *budget)
    require_feasible(study, inspect_space(study, data=data_root))  # as `hpsearch check`

    search = place.launch(study)
    tickets = search.tickets()
    assert [ticket.state for ticket in tickets] == [TicketState.COMPLETE] * 2
    for ticket, given in zip(tickets, study.try_first, strict=False):
        assert ticket.params is not None
        assert {path: ticket.params[path] for path in given} == given
    assert all(0 <= ticket.value <= 1 for ticket in tickets if ticket.value is not None)
    for ticket in tickets:  # what every trial keeps
        (epoch,) = queries.curve(place.database, search.stored.study_id, ticket.ticket)
        assert 0 < epoch.val_seconds < epoch.seconds
        noted = read(place.database, ticket.trial_id)
        matrix = noted["val_confusion"]
        assert len(matrix) == noted["classes"]
        assert sum(map(sum, matrix)) == noted["val_images"]
        right = sum(row[number] for number, row in enumerate(matrix))
        assert right / noted["val_images"] == pytest.approx(epoch.val_accuracy)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_study_says_what_it_asks_and_where_that_comes_from(name: str) -> None:
    study = load(name)
    assert study.description.endswith(("?", "digits."))
    assert f"hpsearch launch --study {name}" in study.text
    if name != "quickstart":
        assert "eport " in study.text.split("study:")[0] or "eports " in study.text
        assert study.try_first, "the report's own settings go first"


def commands(name: str) -> list[list[str]]:
    """Return the commands that the comments of a study show, as arguments."""
    shown = [line[1:].strip() for line in load(name).text.splitlines() if line.startswith("#   ")]
    lines = " ".join(shown).replace("\\ ", "").split("hpsearch ")
    return [shlex.split(line) for line in lines if line]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_commands_that_a_study_shows_fit_it(name: str) -> None:
    def stage_2(study: str, trial: int | None) -> InheritedConfig:
        assert study in SHIPPED
        found = load_study(REPORTS[0], registries)
        return InheritedConfig(
            study=study, trial=0, fingerprint="", value=0.5, document=found.document
        )

    for command, *arguments in commands(name):
        assert command == "launch"
        known = ["--study", "--name", "--workers", "--trials", "--epochs", "--for"]
        given = dict.fromkeys(known, "1")
        overrides = []
        asks = "--answer" in arguments
        arguments = [each for each in arguments if each != "--answer"]
        for option, value in zip(arguments[::2], arguments[1::2], strict=True):
            if option == "--set":
                overrides.append(value)
            else:
                assert option in given
                given[option] = value
        overrides += [f"budget.trials={given['--trials']}"]
        overrides += [f"budget.epochs_per_trial={given['--epochs']}"]
        path = ROOT / "studies" / f"{given['--study']}.yaml"
        study = load_study(path, registries, overrides=overrides, resolve=stage_2)
        assert not study.is_frozen
        question = structured_question(study.document)
        assert not asks or (question is not None and question.parameter in study.space.parameters())


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_a_stage_of_a_report_is_a_frozen_config(path: Path, data_root: Path) -> None:
    study = load_study(path, registries)
    assert study.is_frozen
    assert study.name == f"report_{path.stem}"


def test_the_stages_of_report_b_lead_to_what_it_declared_best() -> None:
    config = load_study(REPORTS[-1], registries).trial_config({}, ticket=1)
    assert config.model.name == "resnet18"
    assert config.model.settings["activation"] == {"relu6": {}}
    assert config.optimizer.name == "sgd"
    settings = config.optimizer.settings
    assert (settings["lr"], settings["momentum"], settings["weight_decay"]) == (1e-3, 0.7, 1e-4)
    assert config.lr_schedule.name == "exponential"
    assert (config.batch_size, config.epochs) == (64, 25)
    assert config.data.source.name == "cifar10"


def test_the_grids_of_report_b_are_as_they_stand() -> None:
    parameters = load("training").space.parameters()
    assert parameters == {
        "optimizer.sgd.lr": Choice((0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)),
        "optimizer.sgd.momentum": Range(low=0.6, high=0.9, step=0.05),
        "optimizer.sgd.weight_decay": Choice((0.01, 0.001, 0.0001, 1e-05)),
        "batch_size": Choice((8, 16, 32, 64, 128, 256, 512)),
    }


def test_report_e_s_final_setting_is_tried_first() -> None:
    config = first_config(load("emoji"))
    assert config.model.name == "emoji_net"
    assert config.model.settings["stride"] == 2
    assert config.model.settings["second_pool"] is False
    assert config.model.settings["activation"] == {"relu": {}}
    settings = config.optimizer.settings
    assert (config.optimizer.name, settings["lr"], settings["momentum"]) == ("sgd", 0.07, 0.0)
    assert (config.batch_size, config.epochs, config.data.validation) == (10, 16, 205)
    assert config.data.augmentation == ()


def test_big_vs_small_trains_on_batch_1_and_validates_on_batch_2(
    cifar10: Path, data_root: Path
) -> None:
    assert not (cifar10 / "test_batch").exists()  # nobody asks for it before the evaluation
    study = load("big_vs_small", f"data.source.cifar10.path={cifar10}")
    config = first_config(study)
    assert config.data.normalization == "raw"
    prepared = prepare(config.data, split_seed=study.seed, root=data_root)
    labels = fashion(data_root).labels[:240]
    images = prepared.images.numpy()[:, 0, 2:-2, 2:-2]
    originals = np.asarray(fashion(data_root).images[:240])[..., 0]
    for indices, part in (
        (prepared.train_indices, slice(120)),
        (prepared.val_indices, slice(120, 240)),
    ):
        assert np.array_equal(images[indices], originals[part])
        assert np.array_equal(prepared.labels[indices].numpy(), labels[part])


def test_the_split_of_input_size_keeps_each_thing_on_one_side(
    emoji_folder: Path, data_root: Path
) -> None:
    study = load("input_size", f"data.source.image_folder.path={emoji_folder}")
    config = first_config(study).data
    files = build_source(config, data_root).train.files
    prepared = prepare(config, split_seed=study.seed, root=data_root)
    points = [
        {files[index].stem.rpartition("_")[2] for index in indices}
        for indices in (prepared.train_indices, prepared.val_indices)
    ]
    assert len(points[0]) > 100
    assert len(points[1]) > 50
    assert not points[0] & points[1]


def test_a_search_in_stages(place: Place, small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next stage searches on from the winner of the last, whichever it was."""
    monkeypatch.chdir(ROOT)
    budget = ["budget.trials=2", "budget.epochs_per_trial=1"]
    place.launch(load("cnn_architectures", *small("cnn_architectures"), *budget))
    record = read_study(place.database, "cnn_architectures")
    winner = max(record.trials, key=lambda trial: (trial.value, -(trial.number or 0)))
    model = winner.params["model"]

    study = study_file(
        "activations", storage=place.url, overrides=["from=cnn_architectures", *budget]
    )
    assert study.document["found"]["study"] == "cnn_architectures"
    assert study.document["found"]["trial"] == winner.number
    assert study.document["found"]["fingerprint"] == record.study.fingerprint
    assert list(study.document["model"]) == [model]
    assert study.document["data"] == record.study.document["data"]

    search = place.launch(study)
    for ticket in search.tickets():
        assert ticket.state is TicketState.COMPLETE
        assert f"model.{model}.activation" in (ticket.params or {})
    assert queries.counts(place.database, search.stored.study_id).complete == 2
