"""Paths as files write them that leave this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.study_file.portable import (
    only_sets_path,
    path_from,
    portable,
    without_home,
)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")


@pytest.mark.parametrize(
    ("path", "folder", "written"),
    [
        ("/home/ada/work/photos", "/home/ada/work", "photos"),
        ("/home/ada/work/photos", "/home/ada/work/out/best", "../../photos"),
        ("/home/ada/work", "/home/ada/work/out", ".."),
        ("/home/ada/photos", "/home/ada/work", "../photos"),
        ("/mnt/photos", "/mnt/ada/out", "../../photos"),
        # Nothing in common: the way over the root would name this machine's folders as well
        ("/mnt/photos", "/home/ada/work", "/mnt/photos"),
        ("/home/ada/photos", "/mnt/out", "~/photos"),
        # In somebody's home, which isn't the reader's
        ("/home/bob/photos", "/home/ada/work", "photos"),
        ("/root/photos", "/mnt", "photos"),
        ("/Users/eve/x/photos", "/mnt", "photos"),
    ],
)
def test_a_path_is_written_so_that_it_works_elsewhere(path, folder, written):
    assert path_from(path, Path(folder)) == written


@pytest.mark.parametrize("home", ["/", "/home/bob"])
def test_a_home_that_is_the_root_hides_nothing(home, monkeypatch):
    monkeypatch.setenv("HOME", home)
    assert without_home("/home/ada/x") == "/home/ada/x"


def test_a_stored_document_is_known_by_its_keys(tmp_path):
    photos = str(tmp_path / "photos")
    document = {
        "description": photos,
        "plugins": [{"path": str(tmp_path / "plug.py"), "sha256": "ab"}],
        "data": {
            "source": {
                "image_folder": {
                    "path": {"values": [photos, f"{photos}/b"]},
                    "test_path": None,
                    "group": "/home/(.)",
                },
                "mine": {"path": "s3://bucket/x"},
            }
        },
    }
    assert portable(document, tmp_path) == {
        "description": photos,
        "plugins": [{"path": "plug.py", "sha256": "ab"}],
        "data": {
            "source": {
                "image_folder": {
                    "path": {"values": ["photos", "photos/b"]},
                    "test_path": None,
                    "group": "/home/(.)",
                },
                "mine": {"path": "s3://bucket/x"},
            }
        },
    }


@pytest.mark.parametrize(
    ("override", "says_where"),
    [
        ("data.source.image_folder.path=x", True),
        ("data.source.image_folder.test_path = x", True),
        ("plugins=[x.py]", True),
        ("data.source.image_folder.colour=gray", False),
        ("data.source=digits", False),
        ("model.transfer.path=x", False),
        ("plugins", True),
    ],
)
def test_which_changes_only_say_where_things_lie(override, says_where):
    assert only_sets_path(override) is says_where
