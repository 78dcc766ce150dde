"""The text of the study file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.photo_folders import photos

from hpsearch.component_registries import registries
from hpsearch.starter.drafting import name_for, require_outside
from hpsearch.starter.finding import find
from hpsearch.starter.fitting import Cost, Task, fit
from hpsearch.starter.inspection import inspect
from hpsearch.starter.recipe import recipe_for
from hpsearch.starter.writing import Draft, study_text
from hpsearch.study_file.loading import load_study

TASK = Task(seconds=600, workers=2, images=48, classes=2)


@pytest.fixture
def written(tmp_path):
    """Write the file of a source beside it; return its text and the study."""

    def write(fitted=None, source="photos", **changes):
        findings = replace(inspect(find(tmp_path / source)), **changes)
        file = tmp_path / "photos.yaml"
        draft = Draft(
            name="photos",
            command="hpsearch init photos",
            path=file,
            findings=findings,
            recipe=recipe_for(findings),
        )
        text = study_text(draft, fitted, TASK)
        file.write_text(text, encoding="utf-8")
        return text, load_study(file, registries)

    return write


def test_every_number_of_the_plan_is_in_the_file(tmp_path, written):
    photos(tmp_path / "photos", {"cat": 30, "dog": 30})
    fitted = fit({(12, "simple_cnn"): Cost(setup=0.1, epoch=0.5)}, TASK)
    text, study = written(fitted)
    assert (study.budget.trials, study.budget.epochs_per_trial) == (fitted.trials, fitted.epochs)
    assert (study.confirm.top, study.confirm.seeds) == (fitted.top, fitted.seeds)
    assert study.confirm.share == fitted.confirm_share
    assert "airbench" not in text
    assert "limit" not in text


def test_a_part_of_the_pictures(tmp_path, written):
    photos(tmp_path / "photos", {"cat": 30, "dog": 30})
    fitted = fit({(12, "simple_cnn"): Cost(setup=0.1, epoch=0.5)}, TASK)
    text, _ = written(replace(fitted, share=0.5), per_class=(20, 20))
    assert "  limit: 20\n" in text
    text, _ = written(replace(fitted, share=0.0351), per_class=(30_000, 30_000))
    assert "  limit: 2100\n" in text


def test_uncertain_groups_are_a_comment(tmp_path, written):
    photos(tmp_path / "photos", {"cat": 30, "dog": 30}, name=lambda n: f"p_{n // 3}_{n}.png")
    text, _ = written()
    assert '      # group: "^([^_]+_[^_]+)_"\n' in text


def test_arrays_have_room_for_groups(tmp_path, written):
    labels = np.arange(40) % 2
    arrays = {"images": np.zeros((40, 8, 8), np.uint8), "labels": labels, "things": labels}
    np.savez(tmp_path / "photos.npz", **arrays)
    text, study = written(source="photos.npz")
    assert study.document["data"]["source"]["arrays"]["groups_key"] is None
    (tmp_path / "photos.yaml").write_text(text.replace("# groups_key: ARRAY", "groups_key: things"))
    grouped = load_study(tmp_path / "photos.yaml", registries).document
    assert grouped["data"]["source"]["arrays"]["groups_key"] == "things"


def test_paths_below_the_file_are_relative(tmp_path, written):
    photos(tmp_path / "photos", {"cat": 30, "dog": 30})
    assert 'path: "photos"' in written()[0]
    photos(tmp_path / "elsewhere" / "photos", {"cat": 30, "dog": 30})
    choice = find(tmp_path / "elsewhere" / "photos")
    (tmp_path / "files").mkdir()
    findings = inspect(choice)
    draft = Draft(
        name="x",
        command="x",
        path=tmp_path / "files" / "x.yaml",
        findings=findings,
        recipe=recipe_for(findings),
    )
    assert f'path: "{tmp_path}/elsewhere/photos"' in study_text(draft)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("photos", "photos"),
        ("My photos (2)", "My_photos_2"),
        ("\u0444\u043e\u0442\u043e", "pictures"),
        ("x" * 80, "x" * 64),
    ],
)
def test_names_of_studies(folder, name):
    assert name_for(Path(folder)) == name


def test_the_current_folder_gets_the_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    require_outside(tmp_path / "photos")
