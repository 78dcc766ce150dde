"""What an earlier version stored is read as it was: names in the code changed, stored words didn't.

``tests/data/earlier_version`` was made by the last version before names followed the field's words:
a search with a constraint and a pruning audit, its confirmation, an evaluation on the test images,
and the winner's bundle. Never write these files anew.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.commands import Ran

from hpsearch import component_registries
from hpsearch.results.confirmation.reading import read_verdict
from hpsearch.results.confirmation.spec import confirmed_search, spec_of
from hpsearch.results.export.bundle import read_bundle
from hpsearch.results.final_evaluations import evaluations
from hpsearch.results.records import read_study
from hpsearch.search.database.schema_version import upgrade_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.study_file.loading import load_study, study_from_document

DATA = Path(__file__).parents[1] / "data" / "earlier_version"

Hpsearch = Callable[..., Ran]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A copy of the database, upgraded as `hpsearch studies --upgrade` does."""
    with gzip.open(DATA / "before.db.gz") as packed, (tmp_path / "before.db").open("wb") as file:
        shutil.copyfileobj(packed, file)
    url = f"sqlite:///{tmp_path / 'before.db'}"
    with closing(Database(url)) as database:
        assert upgrade_tables(database) is not None
    return url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with closing(Database(url, read_only=True)) as database:
        yield database


def test_its_study_and_status_are_the_same(url: str, hpsearch: Hpsearch) -> None:
    status = hpsearch("status", "--study", "before", "--storage", url, "--json")
    expected = json.loads((DATA / "status.json").read_text())
    # Keys may be added, none may be lost or have another value.
    assert {key: status.json.get(key) for key in expected} == expected


def test_its_doctor_finds_nothing(url: str, hpsearch: Hpsearch, tmp_path: Path) -> None:
    asked = ("--storage", url, "--runs", str(tmp_path / "none"), "--json")
    problems = hpsearch("doctor", "--study", "before", *asked).json["problems"]
    # The winner's weights were not kept with the database.
    assert [each["rule"] for each in problems] in ([], ["winner's weights"])


def test_its_documents_say_the_same(database: Database) -> None:
    for name in ("before", "before-confirm"):
        stored = studies.find(database, name)
        study = study_from_document(stored.document, component_registries.registries)
        assert study.fingerprint == stored.fingerprint


def test_its_confirmations_settings_are_read_and_written_the_same(database: Database) -> None:
    stored = studies.find(database, "before-confirm")
    spec = spec_of(stored)
    assert spec.study == confirmed_search(stored) == "before"
    assert json.dumps(spec.to_document()) == json.dumps(stored.document["confirms"])


def test_its_confirmation_and_its_evaluation_are_read(database: Database) -> None:
    search = read_study(database, "before")
    verdict = read_verdict(database, search, read_study(database, "before-confirm"))
    assert (verdict.winner, verdict.finished) == (3, True)
    assert verdict.confirmed == pytest.approx(0.45)
    (evaluation,) = evaluations(database, search.study.study_id)
    assert (evaluation.trial, evaluation.images) == (3, 355)
    metrics = {trial.number: dict(trial.metrics) for trial in search.trials}
    assert metrics[3] == {"val_accuracy": pytest.approx(0.35), "parameters": 1210.0}


def test_its_frozen_file_and_weights_are_read(tmp_path: Path) -> None:
    bundle = tmp_path / "best"
    shutil.copytree(DATA, bundle, ignore=shutil.ignore_patterns("*.gz", "*.json"))
    study = load_study(bundle / "best.yaml", component_registries.registries)
    assert study.is_frozen
    # The weights belong to exactly this configuration, or reading them is refused.
    _, classifier = read_bundle(bundle)
    assert classifier.signature.class_names == tuple("0123456789")
