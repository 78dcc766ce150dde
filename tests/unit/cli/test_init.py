"""`hpsearch init`: the file that it writes is accepted, and what it refuses."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
from support.photo_folders import photos
from support.processes import _without_main_module


@pytest.fixture(autouse=True)
def _processes() -> Iterator[None]:
    with _without_main_module():
        yield


@pytest.fixture
def checked(hpsearch):
    def check(*arguments):
        ran = hpsearch("init", *arguments, "--for", "1d")
        assert ran.code == 0, ran.all
        file = next(word for word in ran.out.split() if word.endswith(".yaml:")).rstrip(":")
        accepted = hpsearch("check", file)
        assert accepted.code == 0, accepted.all
        assert "warning" not in accepted.all + ran.all
        return ran, file

    return check


def test_a_folder(checked, here):
    photos(here / "My pictures äß", {"Käse & Brot": 25, "яблоко": 60}, size=(20, 30))
    held_out = "data.source.image_folder.test_fraction=0.2"
    ran, file = checked("My pictures äß", "--set", held_out)
    assert file == "My_pictures_a.yaml"
    text = (here / file).read_text(encoding="utf-8")
    assert 'path: "My pictures äß"' in text
    assert "objective: val_balanced_accuracy" in text
    assert "class_weights: balanced" in text
    assert "folds: 5" in text
    assert "test_fraction: 0.2\n" in text
    assert f"--set {held_out}" in " ".join(text.replace("#", "").split())
    assert "input_size: 20" in text
    assert "2 classes (20 to 48 each)" in ran.out
    assert f"hpsearch launch --study {file} --confirm" in ran.out
    assert all(len(line) <= 100 for line in text.splitlines())


def test_a_built_in_set(checked, here):
    (here / "own.yaml").touch()
    _, file = checked("--data", "digits", "--out", "own.yaml", "--name", "mine", "--force")
    assert file == "own.yaml"
    text = (here / file).read_text()
    assert "study: mine" in text
    assert "  source: digits\n" in text
    assert "# horizontal_flip" in text


def test_the_study_is_named_after_the_file_and_the_next_commands_find_it(hpsearch, here):
    photos(here / "photos", {"cat": 40, "dog": 40})
    (here / "plans").mkdir()
    ran = hpsearch("init", "photos", "--for", "1d", "--out", "plans/big search.yaml")
    assert ran.code == 0, ran.all
    text = (here / "plans" / "big search.yaml").read_text()
    assert "study: big_search\n" in text
    assert "`hpsearch init photos --for 1d --out 'plans/big search.yaml'`" in text.replace(
        "\n# ", " "
    )
    assert "hpsearch launch --study 'plans/big search.yaml' --confirm" in ran.out
    (command,) = re.findall(r"hpsearch (check .*)", text)
    assert hpsearch(*shlex.split(command)).code == 0


def test_a_set_of_torchvision_by_its_name(checked, here):
    root = here.parent / "data" / "torchvision" / "EuroSAT"
    photos(root / "eurosat" / "2750", {"Sea": 40, "Land": 40})
    ran, file = checked("--data", "eurosat")
    assert file == "eurosat.yaml"
    text = (here / file).read_text()
    assert 'torchvision:\n      name: "EuroSAT"' in text
    assert "test_fraction: 0.15" in text
    assert "2 classes (34 each)" in ran.out


def test_a_file_is_never_replaced(hpsearch, here):
    photos(here / "photos", {"cat": 8, "dog": 8})
    (here / "photos.yaml").write_text("mine")
    ran = hpsearch("init", "photos")
    assert ran.code == 2
    assert "--force" in ran.err
    assert (here / "photos.yaml").read_text() == "mine"


def test_damaged_pictures_are_named_and_nothing_is_written(hpsearch, here):
    photos(here / "photos", {"cat": 40, "dog": 40})
    (here / "photos" / "cat" / "7.png").write_bytes(b"no picture")
    ran = hpsearch("init", "photos")
    assert ran.code == 2
    assert "7.png" in ran.err
    assert not (here / "photos.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "but got neither"),
        (("photos", "--data", "digits"), "but got both"),
        (("nothing",), "doesn't"),
        (("photos", "--for", "soon"), "a duration with its unit"),
        (("photos", "--out", "none/x.yaml"), "create it"),
        (("--data", "fashion_mnits"), "Did you mean 'fashion_mnist'?"),
        (("--data", "image_folder"), "hpsearch init PATH"),
        (("--data", "torchvision"), "by its own name (--data eurosat)"),
        (("--data", "eurosatt"), "Did you mean 'eurosat'?"),
        (("photos", "--name", "no name"), "--name"),
        (("photos", "--out", "photos"), "give --out photos.yaml"),
    ],
)
def test_what_is_refused(hpsearch, here, arguments, told):
    photos(here / "photos", {"cat": 8, "dog": 8})
    ran = hpsearch("init", *arguments)
    assert ran.code == 2
    assert told in ran.err


def test_the_pictures_own_folder_is_no_place_for_a_search(hpsearch, here, monkeypatch):
    photos(here / "photos", {"cat": 8, "dog": 8})
    monkeypatch.chdir(here / "photos")
    ran = hpsearch("init", ".")
    assert ran.code == 2
    assert f"such as {here}" in ran.err
