"""``from``: what an earlier study found stands wherever the file says nothing."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import StudyFileError, UserError
from hpsearch.study_file.compare import difference
from hpsearch.study_file.freezing import freeze, to_yaml
from hpsearch.study_file.inherit import InheritedConfig
from hpsearch.study_file.loading import load_study

#: The earlier study. Its winner is frozen where a test needs it.
EARLIER = """\
study: earlier
seed: 5
budget: {trials: 4, epochs_per_trial: 2}
data:
  source: {cifar10: {train_batches: [1, 2]}}
  validation: 0.3
  augmentation: {horizontal_flip: true, random_crop: {padding: 2}}
model: {conv_net: {conv1: {channels: 16, dilation: 2}, padding: valid, head: {channels: 8}}}
optimizer: {sgd: {lr: {min: 1e-3, max: 1}, momentum: 0.5}}
lr_schedule: {step: {step_size: 7}}
batch_size: {values: [8, 16]}
precision: bf16
"""
PARAMS = {"optimizer.sgd.lr": 0.25, "batch_size": 16}

#: A later study that says only what it must.
LATER = "study: later\nbudget: {trials: 4, epochs_per_trial: 2}\nfrom: earlier\n"


@pytest.fixture
def earlier(tmp_path, registries_of):
    path = tmp_path / "earlier.yaml"
    path.write_text(EARLIER)
    return load_study(path, registries_of)


@pytest.fixture
def winner(earlier):
    return InheritedConfig(
        study="earlier",
        trial=17,
        fingerprint=earlier.fingerprint,
        value=0.625,
        document=freeze(earlier, PARAMS, {}),
    )


@pytest.fixture
def later(tmp_path, monkeypatch, registries_of, winner):
    """Load a text as the later study; ``earlier`` is the one study that the database holds."""
    monkeypatch.chdir(tmp_path)

    def resolve(name: str, trial: int | None) -> InheritedConfig:
        if name != "earlier" or trial not in (None, 17):
            raise UserError(f"there is no trial {trial} of {name}")
        return winner

    def call(text: str, *overrides: str, **options: Any):
        Path("later.yaml").write_text(text)
        options = {"resolve": resolve, **options}
        return load_study(Path("later.yaml"), registries_of, overrides=overrides, **options)

    return call


def at(document: Any, path: str) -> Any:
    for key in path.split("."):
        document = document[key]
    return document


def test_what_the_file_leaves_out_is_what_was_found(later, winner):
    study = later(LATER)
    for key in ("data", "model", "optimizer", "lr_schedule", "batch_size"):
        assert study.document[key] == winner.document[key]
    assert study.document["optimizer"]["sgd"]["lr"] == 0.25
    assert study.is_frozen


def test_what_cannot_be_searched_is_not_taken_over(later):
    study = later(LATER)
    assert study.seed == 0
    assert study.document["precision"] == "auto"
    assert study.budget.epochs_per_trial == 2


def test_it_is_recorded_and_reads_back(later, winner, reload):
    study = later(LATER)
    assert study.document["found"] == {
        "study": "earlier",
        "trial": 17,
        "fingerprint": winner.fingerprint,
        "value": 0.625,
    }
    assert "from" not in study.document
    assert reload(study.document, study.text) == study  # without a resolver: it is resolved


def test_another_winner_makes_another_fingerprint(later, registries_of, winner):
    study = later(LATER)
    better = InheritedConfig(**{**vars(winner), "trial": 23, "value": 0.75})
    again = later(LATER, resolve=lambda *_: better)
    assert again.fingerprint != study.fingerprint
    assert difference(study.document, again.document) == [
        "found.trial: 17 -> 23",
        "found.value: 0.625 -> 0.75",
    ]


MERGES = [
    pytest.param(
        "batch_size: 64",
        {"batch_size": 64},
        id="a fixed value wins",
    ),
    pytest.param(
        "batch_size: {values: [2, 4]}",
        {"batch_size": {"values": [2, 4]}},
        id="a searched value is searched as written",
    ),
    pytest.param(
        "optimizer: {sgd: {momentum: {min: 0, max: 0.9}}}",
        {
            "optimizer.sgd": {
                "lr": 0.25,
                "momentum": {"min": 0.0, "max": 0.9},
                "nesterov": False,
                "weight_decay": 0.0,
            }
        },
        id="the same component: missing keys are what was found",
    ),
    pytest.param(
        "optimizer: sgd",
        {"optimizer.sgd.lr": 0.25},
        id="also in the short form",
    ),
    pytest.param(
        "optimizer: adam",
        {"optimizer": {"adam": {"lr": 0.001}}},
        id="another component has its own defaults",
    ),
    pytest.param(
        "optimizer: {adam: , sgd: {nesterov: true}}",
        {"optimizer.adam.lr": 0.001, "optimizer.sgd.lr": 0.25, "optimizer.sgd.nesterov": True},
        id="several: the found one among them is completed",
    ),
    pytest.param(
        "optimizer: {found: {weight_decay: 0.1}}",
        {"optimizer.sgd.lr": 0.25, "optimizer.sgd.weight_decay": 0.1},
        id="found stands for the component",
    ),
    pytest.param(
        "optimizer: {adam: , found: }",
        {
            "optimizer": {
                "adam": {"lr": 0.001},
                "sgd": {"lr": 0.25, "momentum": 0.5, "nesterov": False, "weight_decay": 0.0},
            }
        },
        id="found among several, in the file's order",
    ),
    pytest.param(
        "model: {conv_net: {conv1: {kernel_size: 5}, groups: 16}}",
        {
            "model.conv_net.conv1": {"channels": 16, "kernel_size": 5, "dilation": 2},
            "model.conv_net.groups": 16,
            "model.conv_net.padding": "valid",
        },
        id="a group inside a component, key by key",
    ),
    pytest.param(
        "model: {conv_net: {head: null, final: relu}}",
        {"model.conv_net.head": None, "model.conv_net.final": {"relu": {}}},
        id="null wins, and something wins over null",
    ),
    pytest.param(
        "model: {conv_net: {head: {dilation: 3}}}",
        {"model.conv_net.head": {"channels": 8, "kernel_size": 3, "dilation": 3}},
        id="a group that may be null",
    ),
    pytest.param(
        "data: {limit: 100}",
        {"data.limit": 100, "data.validation": 0.3, "data.source.cifar10.train_batches": [1, 2]},
        id="one key of data",
    ),
    pytest.param(
        "data: {source: digits}",
        {"data.source": {"digits": {}}, "data.validation": 0.3},
        id="another source",
    ),
    pytest.param(
        "data: {augmentation: {erase: {share: 0.2}, random_crop: {padding: {min: 1, max: 4}}}}",
        {
            "data.augmentation": {
                "horizontal_flip": True,
                "erase": {"share": 0.2},
                "random_crop": {"padding": {"min": 1, "max": 4}},
            }
        },
        id="augmentations add up; the file's stay in its order",
    ),
    pytest.param(
        "data: {augmentation: {horizontal_flip: {probability: 0.1}, random_crop: true}}",
        {
            "data.augmentation": {
                "horizontal_flip": {"probability": 0.1},
                "random_crop": {"padding": 2},
            }
        },
        id="an augmentation of the same name keeps its found keys",
    ),
    pytest.param(
        "data: {augmentation: {horizontal_flip: false, random_crop: {values: [true, false]}}}",
        {
            "data.augmentation": {
                "horizontal_flip": False,
                "random_crop": {"values": [True, False]},
            }
        },
        id="an augmentation switched off, or searched",
    ),
    pytest.param(
        "lr_schedule: {step: {gamma: 0.5}}",
        {"lr_schedule.step": {"step_size": 7, "gamma": 0.5}},
        id="a required key may come from there",
    ),
]


@pytest.mark.parametrize(("line", "expected"), MERGES)
def test_the_file_wins_key_by_key(line, expected, later):
    document = later(LATER + line + "\n").document
    values = {path: at(document, path) for path in expected}
    assert values == expected
    for path, value in expected.items():  # equality of dicts ignores order, which has a meaning
        if isinstance(value, dict) and path.endswith(("augmentation", "optimizer")):
            assert list(at(document, path)) == list(value)


def test_what_is_searched_may_be_tried_first_under_its_found_name(later):
    study = later(
        LATER
        + "optimizer: {adam: , found: {momentum: {min: 0, max: 0.9}}}\n"
        + "try_first: [{optimizer: {found: {momentum: 0.25}}}, {optimizer: {adam: }}]\n"
    )
    assert study.try_first == (
        {"optimizer": "sgd", "optimizer.sgd.momentum": 0.25},
        {"optimizer": "adam"},
    )


def test_what_an_entry_of_try_first_leaves_out_stays_open(later):
    ranges = "optimizer: {found: {lr: {min: 0.1, max: 1}, momentum: {min: 0, max: 0.9}}}\n"
    study = later(LATER + ranges + "try_first: [{optimizer: {found: {lr: 0.5}}}]\n")
    assert study.try_first == ({"optimizer.sgd.lr": 0.5},)
    assert study.document["try_first"] == [{"optimizer": {"sgd": {"lr": 0.5}}}]


def test_an_override_changes_the_study_that_comes_out(later):
    study = later(LATER, "optimizer.sgd.lr={min: 0.1, max: 1}", "model=mlp")
    assert study.document["model"] == {
        "mlp": {"hidden": [128], "dropout": 0.0, "activation": {"relu": {}}}
    }
    assert study.document["optimizer"]["sgd"]["momentum"] == 0.5
    assert list(study.space.parameters()) == ["optimizer.sgd.lr"]


@pytest.mark.parametrize(
    "override", ["from=earlier", "from.study=earlier", "from={study: earlier}"]
)
def test_from_can_be_an_override(override, later):
    without = LATER.replace("from: earlier\n", "")
    study = later(without, override, "from.trial=17")
    assert study.document["found"]["trial"] == 17


def test_an_override_can_name_the_trial_alone(later):
    assert later(LATER, "from.trial=17").document["found"]["trial"] == 17


def test_null_is_no_earlier_study(later):
    with pytest.raises(StudyFileError, match=r"data\.source: this key is required"):
        later(LATER, "from=")


def test_a_frozen_file_is_one_too(later, earlier, tmp_path):
    (tmp_path / "kept").mkdir()
    record = {"study": "earlier", "trial": 17, "fingerprint": earlier.fingerprint, "value": 0.625}
    frozen = freeze(earlier, PARAMS, {**record, "trial_seed": 3})
    (tmp_path / "kept" / "best.yaml").write_text(to_yaml(frozen, "# the winner"))
    by_file = later(LATER.replace("earlier", "kept/best.yaml"), resolve=None)
    assert by_file.document == later(LATER).document
    assert by_file.trial_config({}, ticket=1).seed != 3  # the seed isn't what was found


def test_frozen_files_may_build_on_each_other(later, earlier):
    Path("one.yaml").write_text(to_yaml(freeze(earlier, PARAMS, {})))
    text = LATER.replace("earlier", "one.yaml") + "model: {found: {padding: same}}\n"
    Path("two.yaml").write_text(text)
    study = later(LATER.replace("earlier", "two.yaml"))
    assert study.document["model"]["conv_net"]["padding"] == "same"
    assert study.document["model"]["conv_net"]["conv1"]["channels"] == 16
    before = study.document["found"]["fingerprint"]
    Path("one.yaml").write_text(Path("one.yaml").read_text().replace("0.25", "0.5"))
    assert later(LATER.replace("earlier", "two.yaml")).document["found"]["fingerprint"] != before


@pytest.mark.parametrize("ring", [["a", "a"], ["a", "b", "a"]], ids=["itself", "another"])
def test_files_in_a_ring_are_refused(ring, later, tmp_path):
    for name, to in itertools.pairwise(ring):
        Path(f"{name}.yaml").write_text(LATER.replace("earlier", f"{to}.yaml"))
    with pytest.raises(StudyFileError) as caught:
        later(LATER.replace("earlier", "a.yaml"))
    assert str(caught.value).endswith(
        f"from: must be an earlier study, but {tmp_path}/a.yaml leads to itself; name another file"
    )


def test_a_frozen_file_that_tells_nothing_is_known_by_its_contents(later, earlier):
    frozen = freeze(earlier, PARAMS, {"exported_at": "now"})
    Path("best.yaml").write_text(to_yaml(frozen))
    text = LATER.replace("earlier", "best.yaml")
    record = later(text).document["found"]
    assert (record["study"], record["trial"], record["value"]) == ("earlier", None, None)
    Path("best.yaml").write_text(to_yaml({**frozen, "provenance": {"exported_at": "later"}}))
    assert later(text).document["found"] == record
    Path("best.yaml").write_text(to_yaml({**frozen, "batch_size": 8}))
    assert later(text).document["found"]["fingerprint"] != record["fingerprint"]


@pytest.mark.parametrize("wrong", [[1], {"a": 1}, True], ids=["list", "mapping", "boolean"])
def test_a_provenance_may_say_anything(wrong, later, earlier):
    frozen = freeze(earlier, PARAMS, {"study": wrong, "trial": wrong, "value": wrong})
    Path("best.yaml").write_text(to_yaml(frozen))
    record = later(LATER.replace("earlier", "best.yaml")).document["found"]
    assert (record["study"], record["trial"], record["value"]) == ("earlier", None, None)


def test_a_relative_path_is_meant_from_the_place_where_it_was_written(
    tmp_path, monkeypatch, registries_of, earlier
):
    frozen = to_yaml(freeze(earlier, PARAMS, {}))
    for folder, size in (("studies", 8), ("here", 16)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "best.yaml").write_text(frozen.replace("size: 16", f"size: {size}"))
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "studies" / "later.yaml"
    path.write_text(LATER.replace("earlier", "best.yaml"))
    assert load_study(path, registries_of).document["batch_size"] == 8
    over = load_study(path, registries_of, overrides=["from=best.yaml"])
    assert over.document["batch_size"] == 16


def test_plugins_come_along(later, earlier, tmp_path, registries_of):
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "own.py").write_text("X = 1\n")
    with_plugin = tmp_path / "with_plugin.yaml"
    with_plugin.write_text(EARLIER + "plugins: [mine.py]\n")
    study = load_study(with_plugin, registries_of)
    Path("best.yaml").write_text(to_yaml(freeze(study, PARAMS, {})))
    text = LATER.replace("earlier", "best.yaml")
    assert [path.name for path in later(text).plugins] == ["mine.py"]
    assert [path.name for path in later(text + "plugins: [own.py]\n").plugins] == [
        "own.py",
        "mine.py",
    ]
    assert [path.name for path in later(text + "plugins: [mine.py]\n").plugins] == ["mine.py"]


WRONG = [
    pytest.param(
        LATER.replace("earlier", "nothing"),
        "later.yaml:3: from: there is no trial None of nothing",
        id="what the resolver refuses is told at the line of from",
    ),
    pytest.param(
        LATER.replace("earlier", "best.yml"),
        "later.yaml:3: from: must be a stored study's name or a frozen file, but there is no file "
        "{here}/best.yml; `hpsearch export` writes one",
        id="no such file",
    ),
    pytest.param(
        LATER.replace("from: earlier", "from: {study: earlier.yaml}"),
        "later.yaml:3: from: must be a frozen file, without ranges, but {here}/earlier.yaml "
        "searches optimizer.sgd.lr, batch_size; launch it and name its study, or export its winner",
        id="a file that still searches",
    ),
    pytest.param(
        LATER.replace("from: earlier", "from: {study: ./best.yaml, trial: 3}"),
        "later.yaml:3: from: trial names one of a stored study's trials, and a frozen file "
        "contains only one, but got trial 3 of ./best.yaml; leave trial out",
        id="a trial of a file",
    ),
    pytest.param(
        LATER.replace("from: earlier", "from: {study: earlier, number: 3}"),
        "later.yaml:3: from.number: unknown key 'number'. Known: study, trial.",
        id="an unknown key",
    ),
    pytest.param(
        LATER.replace("from: earlier", "from: {trial: 3}"),
        "later.yaml:3: from.study: this key is required, but it is missing; add it",
        id="no study",
    ),
    pytest.param(
        LATER.replace("from: earlier", "from: [earlier]"),
        'later.yaml:3: from: must be a mapping with the keys study, trial, but got ["earlier"]',
        id="a list",
    ),
    pytest.param(
        LATER.replace("from: earlier", "from: {study: {values: [a, b]}}"),
        "later.yaml:3: from.study: must be one fixed value, not searched, but got "
        '{values: ["a", "b"]}',
        id="it can't be searched",
    ),
    pytest.param(
        LATER + "optimizer: {sgd: , found: }\n",
        "later.yaml:4: optimizer: a name must appear once, but found means sgd, which is "
        "listed too",
        id="found and its name",
    ),
    pytest.param(
        LATER + "optimizer: {sgd: {lr: 0}}\n",
        "later.yaml:4: optimizer.sgd.lr: must be greater than 0, but got 0",
        id="the file's own problems keep their line",
    ),
    pytest.param(
        LATER + "optimizer: [sgd]\nmodel: 3\n",
        'later.yaml:4: optimizer: must name a optimizer, one of adam, sgd, but got ["sgd"]; to '
        "search over several, name each as a key: {a: {{..}}, b: {{..}}}\n"
        "later.yaml:5: model: must name a model, one of conv_net, mlp, but got 3",
        id="not a component",
    ),
    pytest.param(
        LATER.replace(
            "from: earlier\n",
            "found: earlier\nmodel: mlp\noptimizer: adam\ndata: {source: digits}\n",
        ),
        'later.yaml:3: found: must be a mapping, which hpsearch writes, but got "earlier"; name '
        "the study or file that was found in `from`",
        id="found by hand",
    ),
    pytest.param(
        LATER.replace(
            "from: earlier\n",
            "model: {found: {groups: 8}}\noptimizer: adam\ndata: {source: digits}\n",
        ),
        "later.yaml:3: model: found means the model that the study in `from` found, but this "
        "study has no `from`; name one there, or a model here",
        id="found without from",
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_is_wrong_is_told_once_at_its_line(text, message, later, earlier, tmp_path):
    with pytest.raises(StudyFileError) as caught:
        later(text)
    expected = message.replace("{{", "{").replace("}}", "}").replace("{here}", str(tmp_path))
    assert str(caught.value) == expected


def test_without_a_database_a_stored_study_can_not_be_named(later):
    with pytest.raises(StudyFileError) as caught:
        later(LATER, resolve=None)
    assert str(caught.value) == (
        "later.yaml:3: from: only a frozen file can be read here, without a database, but got "
        "'earlier'; export that study and name the file"
    )


def test_a_frozen_config_keeps_the_record(later, reload):
    study = later(LATER + "batch_size: {values: [2, 4]}\n")
    frozen = reload(freeze(study, {"batch_size": 4}, {}))
    assert frozen.document["found"] == study.document["found"]
    assert frozen.is_frozen


def test_what_the_file_says_of_the_split_stands_in_place_of_what_was_found(
    later, winner, registries_of, tmp_path
):
    folds = later(LATER + "data: {folds: 5}\n").document["data"]
    assert folds["folds"] == 5
    assert "validation" not in folds
    changed = later(LATER, "from=earlier", "data.folds=5").document["data"]
    assert changed == folds
    # And the other way round: what was found by folds is searched on with one split
    path = tmp_path / "folds.yaml"
    path.write_text(EARLIER.replace("validation: 0.3", "folds: 4"))
    document = freeze(load_study(path, registries_of), PARAMS, {})
    (tmp_path / "found.yaml").write_text(to_yaml(document))
    from_file = LATER.replace("from: earlier", "from: ./found.yaml")
    assert later(from_file).document["data"]["folds"] == 4
    data = later(from_file + "data: {validation: 0.1}\n").document["data"]
    assert (data["validation"], data.get("folds")) == (0.1, None)


@pytest.fixture
def with_loop(tmp_path, registries_of, earlier):
    """A study of an own loop, and a function that loads a later one."""
    path = tmp_path / "curves.yaml"
    path.write_text(OWN_LOOP)
    study = load_study(path, registries_of)
    document = freeze(study, {"loop.curve.lr": 0.25, "loop.curve.width": 32}, {})
    inherited = InheritedConfig(
        study="curves", trial=3, fingerprint=study.fingerprint, value=0.5, document=document
    )

    def call(text: str, *overrides: str, source: InheritedConfig = inherited):
        later = tmp_path / "later.yaml"
        later.write_text("study: later\nbudget: {trials: 4, epochs_per_trial: 2}\n" + text)
        return load_study(
            later, registries_of, overrides=overrides, resolve=lambda name, trial: source
        )

    return call


LOOP_LINES = """\
loop: {curve: {lr: {min: 1e-3, max: 1}, width: {values: [16, 32]}}}
metrics: {error: minimize, score: maximize}
"""
OWN_LOOP = "study: curves\nbudget: {trials: 4, epochs_per_trial: 2}\n" + LOOP_LINES


def test_a_study_with_a_loop_of_its_own_is_inherited(with_loop):
    study = with_loop("from: curves\n")
    assert study.document["loop"] == {"curve": {"lr": 0.25, "width": 32}}
    assert study.document["metrics"] == {"error": "minimize", "score": "maximize"}
    assert (study.objective.metric, study.has_loop) == ("error", True)
    assert study.document["found"]["trial"] == 3
    text = "from: curves\nloop: {found: {lr: {min: 0.1, max: 1}}}\nmetrics: {score: maximize}\n"
    study = with_loop(text, "loop.curve.lr.max=2")
    assert [*study.space.parameters()] == ["loop.curve.lr"]
    assert study.document["loop"]["curve"]["width"] == 32
    assert study.document["metrics"] == {"score": "maximize"}
    study = with_loop("from: curves\nloop: {curve: {width: {values: [1, 2]}}}\n")
    assert study.document["loop"]["curve"]["lr"] == 0.25


def test_a_loop_is_inherited_only_by_a_study_with_a_loop(with_loop, winner):
    with pytest.raises(StudyFileError, match="has no such key, because the loop loads its data"):
        with_loop("from: curves\nmodel: mlp\n")
    with pytest.raises(
        StudyFileError, match=r"`loop`\) can be based only on one .* earlier has none"
    ):
        with_loop(LOOP_LINES + "from: earlier\n", source=winner)


def test_a_misspelt_loop_is_recognized(later):
    with pytest.raises(StudyFileError, match=r"Did you mean 'loop'\? Known: .* loop, "):
        later(LATER + "lop: {curve: }\n")
