"""The study files that are shipped, and the page about the format, against the real components."""

from __future__ import annotations

import inspect
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from hpsearch.component_registries import registries
from hpsearch.errors import StudyFileError
from hpsearch.registry import Component, Entry
from hpsearch.study_file.freezing import freeze, to_yaml
from hpsearch.study_file.inherit import InheritedConfig
from hpsearch.study_file.json_schema import json_schema
from hpsearch.study_file.loading import find_study, load_study, study_from_document
from hpsearch.study_file.sections import root_schema
from hpsearch.study_file.space import Choice, Range
from hpsearch.study_file.syntax import from_plain, to_plain

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "study-files.md"
SHIPPED = sorted(path.stem for path in (ROOT / "studies").glob("*.yaml"))
EXAMPLES = [
    block
    for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    if block.startswith("study:")
]


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    """The schema's, checked once: that takes longer than a study file."""
    found = json_schema(registries())
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_study_is_valid_and_freezes(name, validator, tmp_path):
    study = load_study(find_study(name), registries)
    assert study.name == name
    assert study_from_document(study.document, registries, text=study.text) == study
    validator.validate(YAML(typ="safe", pure=True).load(study.text))
    validator.validate(study.document)

    draws = random.Random(0)

    def suggest(path: str, parameter: Range | Choice) -> Any:
        if isinstance(parameter, Choice):
            return draws.choice(parameter.labels)
        if parameter.integer:
            return draws.randrange(int(parameter.low), int(parameter.high) + 1)
        return draws.uniform(parameter.low, parameter.high)

    for number in range(10):
        draw = study.space.draw(suggest)
        frozen = tmp_path / f"frozen-{number}.yaml"
        frozen.write_text(to_yaml(freeze(study, draw.params, {"trial": number})))
        again = load_study(frozen, registries)
        assert again.is_frozen
        assert again.space.draw(suggest).config == draw.config


def test_the_schema_refuses_an_unknown_key(validator):
    value = YAML(typ="safe", pure=True).load(find_study("quickstart").read_text())
    value["data"]["sorce"] = "digits"
    with pytest.raises(jsonschema.ValidationError, match="'sorce' was unexpected"):
        validator.validate(value)


def test_quickstart_is_a_search_and_has_something_to_prune():
    study = load_study(find_study("quickstart"), registries)
    assert study.budget.trials >= 30
    assert len(study.space.parameters()) >= 5
    assert study.pruner.name != "none"
    assert list(study.document["data"]["source"]) == ["digits"]  # nothing to download


def test_cnn_dilation_runs_on_fashion_mnist_as_its_comment_says():
    overrides = ["data.source=fashion_mnist", "data.limit=4000"]
    study = load_study(find_study("cnn_dilation"), registries, overrides=overrides)
    config = study.trial_config(
        {path: _any_value(parameter) for path, parameter in study.space.parameters().items()}, 0
    )
    assert config.data.source.name == "fashion_mnist"
    assert config.data.limit == 4000
    assert all(entry.get("data.input_size", 32) >= 32 for entry in study.try_first)


@pytest.mark.parametrize("text", EXAMPLES, ids=[text.splitlines()[0] for text in EXAMPLES])
def test_an_example_of_the_page_is_valid(text, tmp_path, validator):
    def any_trial_of(study: str, trial: int | None) -> InheritedConfig:
        """Find something in another study of the page."""
        earlier = tmp_path / "earlier.yaml"
        earlier.write_text(next(other for other in EXAMPLES if f"study: {study}\n" in other))
        loaded = load_study(earlier, registries)
        params = {path: _any_value(each) for path, each in loaded.space.parameters().items()}
        document = freeze(loaded, params, {})
        return InheritedConfig(study=study, trial=0, fingerprint="", value=0.5, document=document)

    path = tmp_path / "example.yaml"
    path.write_text(text)
    assert not load_study(path, registries, resolve=any_trial_of).is_frozen
    validator.validate(YAML(typ="safe", pure=True).load(text))


def test_the_page_shows_real_messages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("broken.yaml").write_text(
        "study: broken\n"
        "budget: {trials: 0, epochs_per_trial: 5}\n"
        "data: {source: digits}\n"
        "model: {mlp: {hiden: [64]}}\n"
        "optimizer: {sgd: {lr: {min: 1, max: 0.1}}}\n"
    )
    with pytest.raises(StudyFileError) as caught:
        load_study(Path("broken.yaml"), registries, overrides=["data.limit=0"])
    assert f"```text\n{caught.value}\n```" in PAGE.read_text()


def test_the_page_explains_every_key():
    text = PAGE.read_text()
    root = root_schema(registries())
    for name, section in root.keys.items():
        inner = section.keys if name in ("budget", "confirm", "data", "search") else [""]
        for key in inner:
            path = f"{name}.{key}".rstrip(".")
            assert re.search(rf"^\| `{path}` \|", text, flags=re.MULTILINE), path


def test_the_page_lists_every_component_with_its_keys_and_defaults():
    text = PAGE.read_text()
    missing = [row for row in component_rows() if row not in text]
    assert missing == [], "put these rows into docs/study-files.md:\n" + "\n".join(missing)


def component_rows() -> Iterator[str]:
    """Yield the table row of every component of every registry, nested ones included."""
    found = {id(registry): registry for registry in registries().values()}
    for registry in list(found.values()):
        for entry in registry:
            for key in entry.keys.values():
                for nested in getattr(key.type, "__metadata__", ()):
                    if isinstance(nested, type(registry)):
                        found[id(nested)] = nested
    for registry in found.values():
        for entry in registry:
            if not entry.build.__module__.startswith("hpsearch."):
                continue  # Another test's plug-in, registered in this process.
            description = entry.description.replace("``", "`").replace("|", "\\|")
            yield f"| `{entry.name}` | {description} | {_keys(entry)} |"


def _keys(entry: Entry[Any]) -> str:
    return ", ".join(_key(key.name, key.default) for key in entry.keys.values())


def _key(name: str, default: Any) -> str:
    if default is inspect.Parameter.empty:
        return f"`{name}`"
    if isinstance(default, Component) and not default.settings:
        return f"`{name}: {default.name}`"
    plain = to_plain(from_plain(default, location=None))  # type: ignore[arg-type]
    return f"`{name}: {_flow(plain)}`"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value)


def _any_value(parameter: Range | Choice) -> Any:
    return parameter.labels[0] if isinstance(parameter, Choice) else parameter.low
