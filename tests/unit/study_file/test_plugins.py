"""``plugins``: a user's own file registers, and a changed one is noticed."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import pytest

from hpsearch.errors import StudyFileError, UserError
from hpsearch.registry import Registry, load_plugin
from hpsearch.study_file.compare import difference
from hpsearch.study_file.freezing import to_yaml
from hpsearch.study_file.json_schema import json_schema
from hpsearch.study_file.loading import load_components, load_study, study_from_document

PLUGIN = """\
import plugin_test_registry

@plugin_test_registry.MODELS.register("mine")
def mine(*, width: int = 3):
    "My own."
"""

TEXT = """\
study: s
plugins: [own/mine.py]
budget: {trials: 4, epochs_per_trial: 2}
data: {source: digits}
model: mine
optimizer: adam
"""


@pytest.fixture
def own_registries(registries_of, monkeypatch):
    """Registries of which the model's is new for this test."""
    module = types.ModuleType("plugin_test_registry")
    module.MODELS = Registry("model")
    module.SOURCES = Registry("data source")
    monkeypatch.setitem(sys.modules, "plugin_test_registry", module)

    def of(plugins=()):
        for plugin in plugins:
            load_plugin(plugin)
        return {**registries_of(), "model": module.MODELS}

    yield of
    for name in [name for name in sys.modules if name.startswith("hpsearch_plugin_")]:
        del sys.modules[name]


@pytest.fixture
def study_path(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.py").write_text(PLUGIN)
    path = tmp_path / "x.yaml"
    path.write_text(TEXT)
    return path


def test_a_plugin_is_loaded_before_the_file_is_checked(study_path, own_registries):
    study = load_study(study_path, own_registries)
    assert study.plugins == (study_path.parent / "own" / "mine.py",)
    assert study.document["model"] == {"mine": {"width": 3}}
    again = study_from_document(study.document, own_registries, text=study.text)
    assert again == study


def test_the_schema_of_a_study_knows_its_plugins(study_path, own_registries):
    """Also while its author still writes it: the rest of the file may be wrong."""
    study_path.write_text(TEXT.replace("model: mine", "model: {mi: }").replace("budget", "budged"))
    schema = json_schema(load_components(study_path, own_registries))
    (models,) = (definition for name, definition in schema["$defs"].items() if name == "one_model")
    (mapping,) = (form for form in models["anyOf"] if "properties" in form)
    assert mapping["properties"]["mine"]["description"] == "My own."
    assert "width" in str(mapping["properties"]["mine"])


def test_the_schema_of_a_later_study_knows_the_earlier_ones_plugins(study_path, own_registries):
    frozen = load_study(study_path, own_registries).document
    earlier = study_path.with_name("earlier.yaml")
    earlier.write_text(to_yaml({**frozen, "budget": {"trials": 1, "epochs_per_trial": 2}}))
    study_path.write_text("study: later\nfrom: earlier.yaml\n")
    loaded = []

    def registries(plugins=()):
        loaded.append(list(plugins))
        return own_registries(plugins)

    load_components(study_path, registries)
    assert loaded[-1] == [study_path.parent / "own" / "mine.py"]


def test_a_schema_needs_the_plugins(study_path, own_registries):
    (study_path.parent / "own" / "mine.py").unlink()
    with pytest.raises(StudyFileError, match=r"x\.yaml:2: plugins\[0\]: must be a Python file"):
        load_components(study_path, own_registries)
    study_path.write_text("- a list")
    with pytest.raises(StudyFileError, match="a study file must be a mapping of its keys"):
        load_components(study_path, own_registries)


def test_the_fingerprint_follows_the_contents_and_not_the_place(
    study_path, own_registries, tmp_path
):
    study = load_study(study_path, own_registries)
    (tmp_path / "elsewhere.py").write_text(PLUGIN.replace("mine", "mine2"))
    same = tmp_path / "same.py"
    same.write_text(PLUGIN)
    document = dict(study.document)
    document["plugins"] = [{**document["plugins"][0], "path": str(same)}]
    assert difference(study.document, document) == []
    (study_path.parent / "own" / "mine.py").write_text(PLUGIN + "\n# changed\n")
    changed = load_study(study_path, own_registries)
    assert changed.fingerprint != study.fingerprint
    (line,) = difference(study.document, changed.document)
    old, new = (item.document["plugins"][0]["sha256"] for item in (study, changed))
    assert line == f"plugins: [{old}] -> [{new}]"


def test_a_stored_study_refuses_a_changed_plugin(study_path, own_registries):
    study = load_study(study_path, own_registries)
    plugin = study_path.parent / "own" / "mine.py"
    plugin.write_text(PLUGIN + "\n# changed\n")
    with pytest.raises(StudyFileError) as caught:
        study_from_document(study.document, own_registries)
    old = study.document["plugins"][0]["sha256"][:12]
    message = str(caught.value)
    assert message.startswith(
        f"stored study: plugins[0]: must be the file that the study was made with "
        f"(SHA-256 {old}..), but {plugin} has changed ("
    )
    assert message.splitlines()[0].endswith("restore it, or start a study of another name")


def test_a_plugin_that_fails_is_one_clear_problem(study_path, own_registries):
    (study_path.parent / "own" / "mine.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(StudyFileError) as caught:
        load_study(study_path, own_registries)
    assert str(caught.value) == (
        f"{study_path}:2: plugins: plug-in {study_path.parent / 'own' / 'mine.py'} failed at line "
        "1, in <module>: ModuleNotFoundError: No module named 'nothing_of_this_name'"
    )


def test_an_unsuitable_annotation_is_a_clear_error(study_path, own_registries):
    plugin = PLUGIN.replace("import plug", "import threading\nimport plug")
    plugin = plugin.replace("width: int = 3", "lock: threading.Barrier")
    (study_path.parent / "own" / "mine.py").write_text(plugin)
    study_path.write_text(TEXT.replace("model: mine", "model: {mine: {lock: 3}}"))
    with pytest.raises(StudyFileError) as caught:
        load_study(study_path, own_registries)
    assert (
        "model.mine.lock: a key's annotation must be a type that a study file can contain"
        in str(caught.value)
    )


def test_a_plugin_that_needs_a_file_beside_it_is_told_how_to_get_it(tmp_path):
    (tmp_path / "widths_of_mine.py").write_text("WIDTH = 3\n")
    plugin = tmp_path / "mine.py"
    plugin.write_text("from widths_of_mine import WIDTH\n")
    with pytest.raises(UserError, match=rf"imports 'widths_of_mine'.*PYTHONPATH={tmp_path}"):
        load_plugin(plugin)


SOURCE = """
from pathlib import Path
import plugin_test_registry

@plugin_test_registry.SOURCES.register("own")
def source(place, /, *, {key}, title: str = "photos"):
    '''A source.'''
"""


@pytest.mark.parametrize(
    ("key", "written", "expected"),
    [
        ("path: Path", "photos", "{folder}/photos"),
        ("path: str", "photos", "{folder}/photos"),
        ("path", "../photos", "{above}/photos"),
        ("train_path: str | None = None", "photos", "{folder}/photos"),
        ("train_path: str | None = None", "null", None),
        ("path: str", "/photos", "/photos"),
        ("path: str", "~/photos", "{home}/photos"),
        ("path: str", "s3://bucket/photos", "s3://bucket/photos"),
        ("path: str", "{values: [photos, /x]}", None),
        ("folders: list[Path]", "[photos]", ["{folder}/photos"]),
        ("name: str", "photos", "photos"),
    ],
)
def test_a_path_of_a_source_is_meant_from_the_study_files_folder(
    tmp_path, monkeypatch, own_registries, registries_of, key, written, expected
):
    """However its plug-in annotates it, so that every worker finds the same folder."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.py").write_text(SOURCE.format(key=key))
    setting = key.partition(":")[0].partition(" ")[0]
    (tmp_path / "studies" / "x.yaml").write_text(
        "study: x\nbudget: {trials: 1, epochs_per_trial: 1}\nplugins: [mine.py]\n"
        f"data: {{source: {{own: {{{setting}: {written}}}}}}}\nmodel: mlp\noptimizer: adam\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def registries(plugins=()):
        own_registries(plugins)
        return {**registries_of(), "source": sys.modules["plugin_test_registry"].SOURCES}

    study = load_study(Path("studies") / "x.yaml", registries)
    settings = study.document["data"]["source"]["own"]
    folder = tmp_path / "studies"
    places = {"folder": folder, "above": tmp_path, "home": tmp_path / "home"}
    if isinstance(expected, list):
        expected = [text.format(**places) for text in expected]
    elif isinstance(expected, str):
        expected = expected.format(**places)
    elif "values" in written:
        expected = {"values": [f"{folder}/photos", "/x"]}
    assert settings == {setting: expected, "title": "photos"}


def test_a_plugin_that_is_no_regular_file_is_not_waited_for(study_path, own_registries):
    plugin = study_path.parent / "own" / "mine.py"
    plugin.unlink()
    os.mkfifo(plugin)
    with pytest.raises(StudyFileError, match="must be a Python file that exists"):
        load_study(study_path, own_registries)
