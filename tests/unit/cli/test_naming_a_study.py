"""A study is named with --study or without, by its file or, once it is stored, by its name."""

from __future__ import annotations

import copy

import pytest
import typer.main

from hpsearch.cli.app import COMMANDS, app
from hpsearch.errors import StudyFileError, UnknownName, UserError
from hpsearch.results.opening import definition_of, study_file
from hpsearch.search.ledger import studies
from hpsearch.study_file.loading import study_from_document

ROOT = typer.main.get_command(app)
NAMES = [name for panel in COMMANDS.values() for name in panel]


def parsed(name: str, *words: str) -> dict:
    """Return what a command takes its command line for; nothing is run."""
    command = ROOT.commands[name]
    return command.make_context(f"hpsearch {name}", list(words), resilient_parsing=True).params


def takes_a_study(name: str) -> bool:
    options = [each for each in ROOT.commands[name].params if "--study" in each.opts]
    return bool(options) and options[0].required


WITH_STUDY = [name for name in NAMES if takes_a_study(name)]


def test_there_are_such_commands():
    assert {"launch", "check", "confirm", "status", "show", "report", "learn"} <= set(WITH_STUDY)


@pytest.mark.parametrize("name", WITH_STUDY)
def test_every_command_takes_the_study_as_its_first_word(name):
    option = next(each for each in ROOT.commands[name].params if "--study" in each.opts)
    expected = ["emo.yaml"] if option.multiple else "emo.yaml"
    for words in (["emo.yaml"], ["--storage", "emo.yaml", "emo.yaml"], ["--study", "emo.yaml"]):
        if "--storage" in words and not any(
            "--storage" in p.opts for p in ROOT.commands[name].params
        ):
            continue
        assert parsed(name, *words)[option.name] == expected
    assert "STUDY" in ROOT.commands[name].collect_usage_pieces(
        ROOT.commands[name].make_context(name, [], resilient_parsing=True)
    )


@pytest.mark.parametrize(
    ("words", "study", "trial"),
    [
        (["emo"], "emo", None),
        (["emo", "17"], "emo", 17),
        (["--json", "emo", "17"], "emo", 17),
        (["--study", "emo", "17"], "emo", 17),
        (["17", "--study", "emo"], "emo", 17),
        (["-s", "emo", "17"], "emo", 17),
        (["--runs", "emo", "emo", "17"], "emo", 17),
        (["17", "18"], "17", 18),
        (["--", "emo", "17"], "emo", 17),
    ],
)
def test_a_trial_stands_behind_its_study(words, study, trial):
    found = parsed("show", *words)
    assert (found["study"], found["number"]) == (study, trial)


def test_several_studies_of_a_report():
    assert parsed("report", "one", "two", "--no-figures")["studies"] == ["one", "two"]
    assert parsed("report", "--study", "one", "--study", "two")["studies"] == ["one", "two"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "77"), "but got only 77; write: hpsearch show STUDY 77"),
        (("invalidate", "3", "--reason", "x"), "write: hpsearch invalidate STUDY 3"),
        (("launch",), "Missing option '--study'"),
        (("launch", "a.yaml", "b.yaml"), "unexpected extra argument"),
        (("launch", "--study", "a.yaml", "b.yaml"), "unexpected extra argument"),
        (("launch", "--bogus", "a.yaml"), "No such option"),
    ],
)
def test_what_names_no_study_is_refused(hpsearch, here, words, says):
    ran = hpsearch(*words)
    assert (ran.code, says in ran.err) == (2, True), ran.all
    assert list(here.iterdir()) == []


def test_a_source_is_no_study():
    """`data prepare` has a first word of its own."""
    prepare = ROOT.commands["data"].commands["prepare"]
    found = prepare.make_context("prepare", ["digits"], resilient_parsing=True).params
    assert (found["source"], found["study"]) == ("digits", None)


class TestByItsStoredName:
    @pytest.fixture(autouse=True)
    def only_made_up_components(self, monkeypatch, made_up_components):
        monkeypatch.setattr("hpsearch.component_registries.registries", made_up_components)

    def test_it_is_the_same_study(self, made_up, here):
        loaded = study_file("made_up", storage=made_up.url)
        assert loaded.document == made_up.study.document
        assert loaded.fingerprint == made_up.study.fingerprint
        studies.attach(made_up.database, loaded)  # the same question, so the launch goes on

    def test_with_changes(self, made_up, here):
        loaded = study_file("made_up", storage=made_up.url, overrides=["budget.trials=77"])
        assert loaded.budget.trials == 77
        assert loaded.fingerprint == made_up.study.fingerprint
        variant = study_file("made_up", storage=made_up.url, name="mine", overrides=["seed=5"])
        assert (variant.name, variant.seed) == ("mine", 5)

    def test_a_wrong_change_is_told(self, made_up, here):
        with pytest.raises(StudyFileError, match=r"--set budget.trials=0: budget.trials: must be"):
            study_file("made_up", storage=made_up.url, overrides=["budget.trials=0"])
        for change in ("from=other", "confirms={}"):
            with pytest.raises(StudyFileError, match=f"--set {change}: "):
                study_file("made_up", storage=made_up.url, overrides=[change])

    def test_a_file_of_that_name_comes_first(self, made_up, here):
        (here / "studies").mkdir()
        (here / "studies" / "made_up.yaml").write_text("study: other\n")
        assert definition_of("made_up", made_up.url) == (here / "studies/made_up.yaml").relative_to(
            here
        )

    def test_neither_is_told_with_both(self, made_up, here):
        with pytest.raises(UnknownName, match="Did you mean 'made_up'") as raised:
            definition_of("made_op", made_up.url)
        assert {"made_up", "quickstart"} <= set(raised.value.names)
        with pytest.raises(UnknownName, match="quickstart"):
            definition_of("made_up", f"sqlite:///{here}/none.db")
        assert not (here / "none.db").exists()

    def test_a_confirmation_is_gone_on_with_by_its_command(self, made_up, made_up_components, here):
        document = copy.deepcopy(dict(made_up.study.document)) | {
            "study": "made_up-confirm", "confirms": {"study": "made_up"},
        }  # fmt: skip
        studies.create_or_find(made_up.database, study_from_document(document, made_up_components))
        with pytest.raises(UserError, match="hpsearch confirm --study made_up"):
            definition_of("made_up-confirm", made_up.url)
