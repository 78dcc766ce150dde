"""Pictures in folders and archives, found by the names in a table."""

from __future__ import annotations

import zipfile

import pytest

from hpsearch.errors import DataError
from hpsearch.training.data import picture_places
from hpsearch.training.data.picture_places import NotFound, PicturePlace

NAMES = ["top.jpg", "a/1.png", "a/2.png", "b/1.png", "b/deep/scan.01.TIF", "b/1.png.txt"]


@pytest.fixture(params=["folder", "zip"])
def place(request, tmp_path):
    """The same pictures in both kinds of places; nothing is decoded here."""
    if request.param == "zip":
        with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
            for name in NAMES:
                archive.writestr(name, b"")
        return PicturePlace(tmp_path / "p.zip", "key")
    for name in [*NAMES, ".hidden/1.png", "a/._1.png"]:
        path = tmp_path / "p" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return PicturePlace(tmp_path / "p", "key")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("top.jpg", "top.jpg"),
        ("top", "top.jpg"),
        ("top.jpeg", "top.jpg"),
        ("./a/1.png", "a/1.png"),
        ("a\\1.png", "a/1.png"),
        ("/kaggle/input/set/a/1.png", "a/1.png"),
        ("/kaggle/input/set/top.jpg", "top.jpg"),
        ("../p/b/1", "b/1.png"),
        ("2", "a/2.png"),
        ("2.png", "a/2.png"),
        ("scan.01", "b/deep/scan.01.TIF"),
        ("deep/scan.01.tif", "b/deep/scan.01.TIF"),
    ],
)
def test_a_name_means_the_picture_whose_path_agrees(place, wanted, found):
    assert place.name_of(place.find(wanted)) == found


@pytest.mark.parametrize(
    "wanted", ["", ".", "/", "3", "c/2.png", "scan", "b/2.png", "x/deep/scan.01"]
)
def test_a_name_without_a_picture(place, wanted):
    with pytest.raises(NotFound) as raised:
        place.find(wanted)
    assert raised.value.kind == "no such picture"


def test_a_name_of_several_pictures(place):
    with pytest.raises(NotFound) as raised:
        place.find("1")
    assert raised.value.kind == "several such pictures"
    assert raised.value.detail == "1 may be a/1.png or b/1.png"


def test_what_is_there_is_described(place):
    assert place.contents in (
        "5 pictures, such as a/1.png, and other files (1 .txt)",
        "5 pictures, such as top.jpg, and other files (1 .txt)",
    )


def test_the_same_name_is_better_than_another_ending(tmp_path):
    for name in ("1.png", "1.jpg", "1.png.jpg", "x/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    place = PicturePlace(tmp_path, "key")
    assert [place.name_of(place.find(name)) for name in ("1.png", "1.jpg", "x/1.jpg")] == [
        "1.png",
        "1.jpg",
        "x/1.png",
    ]


def test_linked_folders_are_followed_once(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.png").touch()
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "to").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "p")
    place = PicturePlace(tmp_path / "p", "key")
    assert place.files([place.find("1")]) == (tmp_path / "p" / "to" / "1.png",)


def test_a_place_must_exist(tmp_path):
    (tmp_path / "a.txt").touch()
    for name, state in (("a.txt", "is neither"), ("b", "doesn't exist")):
        with pytest.raises(DataError, match=f"key must be a folder .* but .*{name} {state}"):
            PicturePlace(tmp_path / name, "key")


def test_a_home_folder_isnt_searched(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_places, "_MOST_FILES", 3)
    for number in range(5):
        (tmp_path / f"{number}.png").touch()
    with pytest.raises(DataError, match="key must be the folder of the pictures"):
        PicturePlace(tmp_path, "key")
