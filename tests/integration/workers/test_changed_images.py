"""Pictures that are deleted between two launches: nobody trains on the rest without a word."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from support.trials import SmallSearch

from hpsearch.errors import DataError
from hpsearch.search.database.storage import Database
from hpsearch.training.data import prepare as preparing
from hpsearch.workers import confirmation
from hpsearch.workers.confirmation import ConfirmRequest
from hpsearch.workers.launch.preview import preview_launch
from hpsearch.workers.run_config import RunConfig

STUDY = """
study: pictures
seed: 5
budget: {{trials: 2, epochs_per_trial: 2}}
sampler: random
pruner: none
data: {{source: {{image_folder: {{path: {folder}}}}}, input_size: {{values: [8, 12]}}}}
model: {{mlp: {{hidden: [8]}}}}
optimizer: {{sgd: {{lr: {{min: 1e-2, max: 0.5, log: true}}}}}}
batch_size: 8
"""

SAYS = r"'pictures' must use the images .*40 images -> 30, 'cat': 20 -> 10"


@pytest.fixture
def folder(tmp_path):
    """Forty pictures in two classes."""
    folder = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for index in range(20):
            pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index:02}.png")
    return folder


@pytest.fixture
def search(open_study, folder) -> SmallSearch:
    return open_study(text=STUDY.format(folder=folder))


def forget_prepared() -> None:
    """A new worker process looks at the files anew."""
    preparing._prepare.cache_clear()


def delete_ten(folder) -> None:
    for index in range(10):
        (folder / "cat" / f"{index:02}.png").unlink()
    forget_prepared()


def config_of(search: SmallSearch) -> RunConfig:
    return RunConfig(
        storage=search.database.url.render_as_string(hide_password=False),
        workers=1,
        devices="cpu",
        runs=search.runs,
        data=search.data,
    )


def test_a_launch_refuses_changed_images(search, folder):
    search.run_one()
    noted = search.trials()[0].user_attrs
    assert (noted["images_per_class"], noted["class_names"]) == ([20, 20], ["cat", "dog"])
    preview_launch(search.study, config_of(search))
    delete_ten(folder)
    with pytest.raises(DataError, match=SAYS):
        preview_launch(search.study, config_of(search))


def test_a_new_study_takes_what_is_there(search, folder):
    delete_ten(folder)
    preview_launch(search.study, config_of(search))


def test_a_worker_refuses_before_it_trains(search, folder):
    """It may run on another host, whose folder holds something else."""
    search.run_one()
    delete_ten(folder)
    with pytest.raises(DataError, match=SAYS):
        search.run_one("two")
    assert [each.state for each in search.tickets()] == ["complete", "paused"]
    assert len(search.trials()) == 1, "it has no row, so no sampler learns from it"


def test_a_trial_is_not_resumed_on_other_images(search, folder):
    from support.trials import leave_after

    search.run_one(leave=leave_after(6))
    assert search.ticket(1).state == "paused"
    delete_ten(folder)
    with pytest.raises(DataError, match=SAYS):
        search.run_one("two")
    assert search.ticket(1).state == "paused"


def test_a_confirmation_refuses_changed_images(search, folder):
    search.run_all()
    database = Database(search.database.url.render_as_string(hide_password=False))
    try:
        asked = confirmation.prepare_confirmation(
            database, search.record(), search.study, ConfirmRequest(top=1, seeds=2)
        )
        delete_ten(folder)
        with pytest.raises(DataError, match=SAYS):
            confirmation.run(database, asked, config_of(search), lambda _: None)
    finally:
        database.close()


def test_pictures_that_come_back_are_the_same_again(search, folder, tmp_path):
    search.run_one()
    kept = {path: path.read_bytes() for path in (folder / "cat").iterdir()}
    delete_ten(folder)
    for path, content in kept.items():
        path.write_bytes(content)
    forget_prepared()
    preview_launch(search.study, config_of(search))
    search.run_all()
    assert [each.state for each in search.tickets()] == ["complete", "complete"]
