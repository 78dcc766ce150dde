"""Two commands from a folder of pictures to a confirmed winner, and two more to labels."""

from __future__ import annotations

import json

from support.photo_folders import photos
from support.processes import _without_main_module


def test_from_a_folder_to_labels(hpsearch, here):
    for part, count in {"train": 12, "val": 6}.items():
        photos(here / "photos" / part, {"cat": count, "dog": count}, size=(8, 8))
    photos(here / "new", {"dog": 1}, size=(8, 8))

    with _without_main_module():
        ran = hpsearch("init", "photos/", "--for", "5s")
        assert ran.code == 0, ran.all
        ran = hpsearch("launch", "--study", "photos.yaml", "--confirm")
        assert ran.code == 0, ran.all
    assert "The winner is" in ran.out
    assert "confirmed with" in ran.out

    ran = hpsearch("export", "photos", "--bundle", "best/")
    assert ran.code == 0, ran.all
    ran = hpsearch("predict", "best/", "new/dog/0.png", "--json")
    assert ran.code == 0, ran.all
    (labelled,) = json.loads(ran.out)
    assert labelled["class"] in ("cat", "dog")
