"""Pictures that belong together by their names: several of one patient, scene or object.

Names are cut at a separator. A part that many names share, each time a few of them, is a group:
``patient_12_3.png`` and ``patient_12_4.png``, ``twitter_1f600.png`` and ``google_1f600.png``.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

#: A part of a name with fewer values than this is rather a batch or a camera than a group.
_FEWEST_GROUPS = 8
#: .. and so does one with fewer values for each class: it may be the class's name.
_GROUPS_PER_CLASS = 1.5
#: No group has more than this share of all pictures.
_LARGEST_SHARE = 0.25

#: The share of the pictures that aren't alone in their group, from which groups are certain, and
#: from which they are worth a remark; and the share in groups of one class, likewise. Numbers that
#: count the pictures of each class from 1 (``cat_7``, ``dog_7``) are in several classes, and so may
#: be a patient, whose name is at the beginning.
_CERTAIN_REPEATS, _POSSIBLE_REPEATS = 0.8, 0.3
_CERTAIN_PURE, _POSSIBLE_PURE = 0.9, 0.5

#: Dates and times repeat in names of photos that have no more in common than a day.
_DATE = re.compile(r"(?:19|20)[0-9]{2}-?[01][0-9](?:-?[0-3][0-9])?")

_SEPARATORS = ("_", "-", " ", ".")

#: A number that is the whole name counts the pictures of a class: ``0001.png``, ``(12).jpg``.
_NUMBER = re.compile(r"[\W_]*[0-9]+[\W_]*[.][^.]+")


@dataclass(frozen=True, kw_only=True)
class Groups:
    """A pattern that names share."""

    #: A regular expression whose first group is a picture's group.
    pattern: str
    groups: int
    largest: int
    #: The name of a picture, and its group.
    example: tuple[str, str]
    #: Whether the pattern repeats clearly; otherwise a person should decide.
    certain: bool


def find_groups(names: Sequence[str], labels: Sequence[int]) -> Groups | None:
    """Return the clearest pattern of groups in the names of files; ``None`` without one.

    Args:
        names: The names, without folders.
        labels: The class of each.
    """
    candidates = [
        groups
        for separator in _SEPARATORS
        if separator in names[0]
        for pattern in _patterns(re.escape(separator), names[0].count(separator))
        if (groups := _judge(pattern, names, labels)) is not None
    ]
    # Of several certain patterns the one with fewer groups: it separates the fewest pictures that
    # belong together
    return min(
        candidates, key=lambda candidate: (not candidate.certain, candidate.groups), default=None
    )


def _patterns(separator: str, separators: int) -> list[str]:
    part = f"[^{separator}]+"
    first = [
        f"^({separator.join([part] * count)}){separator}" for count in range(1, separators + 1)
    ]
    return [*first, rf"^(.+){separator}{part}$", rf"{separator}([^{separator}]+)[.][^.]+$"]


def _judge(pattern: str, names: Sequence[str], labels: Sequence[int]) -> Groups | None:
    compiled = re.compile(pattern)
    keys = []
    for name in names:
        match = compiled.search(name)
        if match is None or not match[1]:
            return None
        keys.append(match[1])
    sizes = Counter(keys)
    classes = defaultdict(set)
    for key, label in zip(keys, labels, strict=True):
        classes[key].add(label)
    total, largest = len(names), max(sizes.values())
    if len(sizes) < max(_FEWEST_GROUPS, _GROUPS_PER_CLASS * len(set(labels))):
        return None
    if largest < 2 or largest > _LARGEST_SHARE * total:
        return None
    repeats = sum(size for size in sizes.values() if size > 1) / total
    pure = sum(size for key, size in sizes.items() if len(classes[key]) == 1) / total
    at_the_end = not pattern.startswith("^")
    if repeats < _POSSIBLE_REPEATS or (at_the_end and pure < _POSSIBLE_PURE):
        return None
    if all(map(_NUMBER.fullmatch, names)) and len({*zip(keys, labels, strict=True)}) == total:
        return None
    dates = sum(_DATE.search(key) is not None for key in sizes) > len(sizes) / 2
    shared = next(place for place, key in enumerate(keys) if sizes[key] > 1)
    return Groups(
        pattern=pattern,
        groups=len(sizes),
        largest=largest,
        example=(names[shared], keys[shared]),
        certain=repeats >= _CERTAIN_REPEATS and pure >= _CERTAIN_PURE and not dates,
    )
