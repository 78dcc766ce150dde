"""Pictures that belong together by their names."""

from __future__ import annotations

import re

import pytest

from hpsearch.starter.groups import find_groups

EACH = [(n, k) for n in range(20) for k in range(3)]


def group_of(groups, name):
    return re.search(groups.pattern, name)[1]


@pytest.mark.parametrize(
    ("name_form", "name", "group"),
    [
        ("patient_{n}_{k}.png", "patient_7_2.png", "patient_7"),
        ("{n}_left_{k}.jpeg", "7_left_2.jpeg", "7"),
        ("view{k}_{n:x}f.png", "view1_af.png", "af"),
        ("p{n}-frame {k}.png", "p7-frame 2.png", "p7"),
        ("cat_{n}_png.rf.{k}aef.jpg", "cat_7_png.rf.1aef.jpg", "cat_7"),  # exported by Roboflow
    ],
)
def test_several_pictures_of_one_thing(name_form, name, group):
    names = [name_form.format(n=n, k=k) for n, k in EACH]
    groups = find_groups(names, [n % 2 for n, _ in EACH])
    assert groups is not None
    assert groups.certain
    assert group_of(groups, name) == group
    assert (groups.groups, groups.largest) == (20, 3)


@pytest.mark.parametrize(
    "name_form",
    [
        "{i}.png",
        "IMG_{i}.jpg",
        "{label}_{i}.png",  # the prefix is the class's
        "{label}_{j}.png",  # numbers that begin again in every class
        "{j}.png",
    ],
)
def test_running_numbers_are_no_groups(name_form):
    names = [name_form.format(i=i, j=i // 2, label="cat" if i % 2 else "dog") for i in range(60)]
    assert find_groups(names, [i % 2 for i in range(60)]) is None


def test_days_are_uncertain():
    names = [f"202103{day:02}_{k}.jpg" for day in range(1, 21) for k in range(3)]
    groups = find_groups(names, [day % 2 for day in range(1, 21) for k in range(3)])
    assert groups is not None
    assert not groups.certain


def test_groups_of_a_part_of_the_pictures_are_uncertain():
    names = [f"p{i if i < 30 else i // 2}_{i}.png" for i in range(90)]
    groups = find_groups(names, [i // 2 % 2 for i in range(90)])
    assert groups is not None
    assert not groups.certain
