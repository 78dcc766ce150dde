"""`hpsearch studies --delete`: it asks, deletes a study's rows and files, and nothing else."""

from __future__ import annotations

import optuna
import pytest
import sqlalchemy as sa

from hpsearch.search.database.tables import studies as table
from hpsearch.search.ledger import studies
from hpsearch.workers.trial.run_folder import RunFolder


@pytest.fixture(autouse=True)
def only_made_up_components(monkeypatch, made_up_components):
    monkeypatch.setattr("hpsearch.component_registries.registries", made_up_components)


@pytest.fixture
def ended(made_up, here):
    """A study of one complete trial with weights and TensorBoard's files, beside another's."""
    made_up.trial(0.5, 0.6, 0.7)
    folder = RunFolder(here / "runs", "made_up", made_up.stored.run_key)
    folder.save_best(0, {"weights": {}})
    (folder.path / "tensorboard").mkdir()
    (folder.path / "tensorboard" / "events").write_bytes(b"1234")
    RunFolder(here / "runs", "other", "0a1b2c3d").save_best(0, {"weights": {}})
    return made_up


@pytest.fixture
def delete(hpsearch, ended):
    return lambda *options: hpsearch(
        "studies", "--delete", "made_up", "--storage", ended.url, *options
    )


def files(folder):
    return sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*.*"))


def test_rows_and_files_go_and_others_stay(delete, ended, here):
    ran = delete("--yes")
    assert (ran.code, ran.err) == (0, ""), ran.all
    assert "made_up: 1 trial, 1 complete; 2 files" in ran.out
    assert ran.out.endswith("deleted: made_up\n")
    assert studies.everything(ended.database) == []
    assert files(here / "runs") == ["other/0a1b2c3d/trial-0000/best.pt"]
    assert not (here / "runs" / "made_up").exists()


def test_nobody_to_ask_means_no(delete, ended):
    ran = delete()
    assert ran.code == 2
    assert "must be confirmed, but there is no terminal to ask on; add --yes" in ran.err
    assert len(studies.everything(ended.database)) == 1


@pytest.mark.parametrize("answer", [True, False])
def test_it_asks_on_a_terminal(delete, ended, monkeypatch, answer):
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", confirm)
    ran = delete()
    assert asked == ["Delete study made_up? This can't be undone"]
    assert (ran.code, len(studies.everything(ended.database))) == ((0, 0) if answer else (2, 1))


def test_as_json(delete):
    ran = delete("--yes", "--json")
    assert ran.json == {"deleted": ["made_up"]}


def test_a_study_that_is_worked_on_stays(delete, ended, monkeypatch):
    claim = ended.start()
    monkeypatch.setattr("time.sleep", lambda _: ended.ledger.renew(claim))
    ran = delete("--yes")
    assert ran.code == 2
    assert "stop its workers with `hpsearch stop --study made_up`" in ran.err
    assert len(studies.everything(ended.database)) == 1


def test_an_unknown_study(hpsearch, ended):
    ran = hpsearch("studies", "--delete", "made", "--storage", ended.url, "--yes")
    assert (ran.code, "Did you mean 'made_up'?" in ran.err) == (2, True)


def test_a_left_over_is_listed_with_the_command_that_removes_it(hpsearch, ended):
    optuna.delete_study(study_name="made_up", storage=ended.url)
    ran = hpsearch("studies", "--storage", ended.url)
    assert ran.code == 0
    removal = f"hpsearch studies --delete made_up --storage {ended.url}"
    assert f"`{removal}`" in ran.out
    assert "made_up" in hpsearch("studies", "--storage", ended.url, "--json").json["unusable"]
    status = hpsearch("status", "--study", "made_up", "--storage", ended.url)
    assert (status.code, f"`{removal}`" in status.err) == (2, True)
    assert hpsearch(*removal.split()[1:], "--yes").code == 0
    assert "none yet" in hpsearch("studies", "--storage", ended.url).out


def test_a_folder_that_somebody_put_into_the_database_is_left_alone(hpsearch, ended, here):
    """Only rows are deleted then: whoever writes there must not choose which files go."""
    precious = here / "precious"
    precious.mkdir()
    (precious / "notes.txt").write_text("mine")
    ended.database.write(
        lambda connection: connection.execute(sa.update(table).values(run_key="../../precious"))
    )
    ran = hpsearch("studies", "--delete", "made_up", "--storage", ended.url, "--yes")
    assert ran.code == 0, ran.all
    assert (precious / "notes.txt").read_text() == "mine"


def test_a_link_in_place_of_the_folder_is_not_followed(delete, ended, here):
    folder = RunFolder(here / "runs", "made_up", ended.stored.run_key).path
    folder.rename(here / "elsewhere")
    folder.symlink_to(here / "elsewhere")
    ran = delete("--yes")
    assert ran.code == 0
    assert "could not be removed; remove it by hand" in ran.err
    assert (here / "elsewhere" / "trial-0000" / "best.pt").exists()
