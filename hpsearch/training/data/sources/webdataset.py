"""WebDataset's shards: tar files in which the files of a sample follow each other.

``0001.jpg``, ``0001.cls`` is a sample: a picture, and its class as text. Instead of ``.cls``, a
``.json`` may contain the class, and it may contain a group. Format: https://github.com/webdataset/webdataset
"""

from __future__ import annotations

import itertools
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpsearch.errors import DataError
from hpsearch.formatting import first_few
from hpsearch.regular_file import open_regular
from hpsearch.training.data.content import measure_once
from hpsearch.training.data.group_split import TestFraction
from hpsearch.training.data.images import SOURCES, Images, Part, Source
from hpsearch.training.data.packed_pictures import (
    Packed,
    PackedPictures,
    read_packed,
    require_inner_name,
)
from hpsearch.training.data.picture_files import SUFFIXES, Colour
from hpsearch.training.data.place import DataRoot, absolute
from hpsearch.training.data.sources.held_out import source_of_parts
from hpsearch.training.data.sources.part_files import files_of_parts, given_parts
from hpsearch.training.data.sources.table_columns import find_columns

_KEY = "data.source.webdataset"
_Names = Annotated[list[str], Field(min_length=2)]
#: A label's file has at most this many bytes.
_LARGEST_LABEL = 2**20
#: A pattern stands for at most this many files.
_MOST_FILES = 100_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_BLOCK = 512
#: The ending of the files.
SHARDS = ".tar"
#: So many samples show what a tar file contains.
_FIRST_SAMPLES = 50


@SOURCES.register("webdataset")
def webdataset(
    place: DataRoot,
    /,
    *,
    path: Path,
    image: str | None = None,
    label: str | None = None,
    json_key: str | None = None,
    group: str | None = None,
    class_names: _Names | None = None,
    val_path: Path | None = None,
    test_path: Path | None = None,
    test_fraction: TestFraction | None = None,
    colour: Colour = "rgb",
) -> Source:
    """WebDataset's tar files, in which a picture is followed by its class (.cls or .json).

    Pictures of different sizes need ``data.input_size``.

    Args:
        place: The data root, for stored class names.
        path: A tar file, a folder of them, or a pattern: ``train-{000..010}.tar``,
            ``{a,b}-0.tar``. In a folder, the names contain the part; without one, they are
            training pictures.
        image: The ending of the pictures in a sample; ``None``: the only ending of pictures.
        label: The ending of the file with the class: ``cls`` or another that contains its name or
            number, or ``json``; ``None``: ``cls``, else ``json``.
        json_key: The key of the class in ``json``; ``None``: the one with a common name for it.
        group: A key of ``json``; pictures with the same value stay on the same side of every split;
            ``None``: each picture may be on either side.
        class_names: The classes, which labels that are numbers count from 0; ``None``: the labels.
        val_path: As ``path``, for validation pictures.
        test_path: As ``path``, for test pictures.
        test_fraction: The share of the pictures that is held out for tests if there are no test
            pictures, the same for every seed; ``None``: no pictures are held out.
        colour: ``rgb`` or ``gray``; pictures are converted to it.

    Raises:
        DataError: If a file is missing or damaged, a sample has no picture, no class or no group,
            a group is in two parts, or two keys contradict each other.
    """
    root = absolute(path)
    files = given_parts(
        _KEY,
        _files,
        path=path,
        val_path=val_path,
        test_path=test_path,
        test_fraction=test_fraction,
    )
    keys = _Keys(image=image, label=label, json_key=json_key, group=group)
    _require_apart(files, keys, place.memo_folder)
    if class_names is None:
        labels: set[str] = set()
        for file in files["train"]:
            measure = partial(_labels_in, file, keys)
            reading = {"labels": [image, label, json_key]}
            labels |= set(measure_once(file, reading, measure, place.memo_folder))
        names = _in_order(labels, files["train"][0])
    else:
        names = tuple(class_names)
    parts = {
        name: Part(
            read=partial(_read, own, keys, names, class_names is not None, colour),
            files=tuple(own),
            name_of=_names(own, keys),
        )
        for name, own in files.items()
    }
    settings: dict[str, Any] = {"keys": [image, label, json_key], "colour": colour}
    settings |= {"counted": class_names is not None}
    settings |= {} if group is None else {"group": group}
    return source_of_parts(
        "webdataset",
        parts,
        class_names=names,
        settings=settings,
        test_fraction=test_fraction,
        origin=str(root),
    )


@dataclass(frozen=True, kw_only=True)
class _Keys:
    """What is read of each sample; ``None``: what is clear."""

    image: str | None
    label: str | None
    json_key: str | None
    group: str | None = None


def _files(path: Path, key: str) -> dict[str, list[Path]]:
    """Return the tar files of each part. Raises ``DataError``."""
    if "{" not in path.name and "{" not in path.parent.name:
        if path.is_file() and path.suffix.lower() != SHARDS:
            raise DataError(
                f"{key} must be tar files that aren't compressed (.tar), but got {path}; unpack it "
                "by gunzip"
            )
        return files_of_parts(path, (SHARDS,), key)
    files = [Path(name) for name in _expanded(str(path), key)]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise DataError(
            f"every file of {key} must be there, but {len(missing):,} of {len(files):,} aren't: "
            f"{first_few(missing, 3)}"
        )
    return {"train": files}


def _expanded(pattern: str, key: str) -> Iterator[str]:
    """Yield the names that a pattern stands for: ``{a,b}``, ``{000..010}``."""
    pieces = _BRACES.split(pattern)
    options: list[Sequence[str]] = []
    count = 1
    for number, piece in enumerate(pieces):
        own: Sequence[str] = [piece]
        if number % 2 and (match := _RANGE.fullmatch(piece)):
            first, last = int(match[1]), int(match[2])
            count *= max(0, last - first + 1)
            if 0 < count <= _MOST_FILES:
                own = [f"{index:0{len(match[1])}}" for index in range(first, last + 1)]
        elif number % 2:
            own = piece.split(",")
            count *= len(own)
        options.append(own)
        if not 0 < count <= _MOST_FILES:
            raise DataError(
                f"{key} must stand for 1 to {_MOST_FILES:,} files, but {pattern} doesn't; write a "
                "range as {000..010}"
            )
    return map("".join, itertools.product(*options))


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """A picture, and the files with its label and its group."""

    picture: Packed
    label_file: Packed
    #: The ending of ``label_file``.
    ending: str
    #: The file with the group; ``None``: it isn't there.
    group_file: Packed | None
    keys: _Keys

    def label(self) -> str:
        """Return the label as text. Raises ``DataError``."""
        key = self.keys.json_key
        try:
            return _text(self.label_file, self.ending, key or _clear_label)
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(
                f"a label must be a number or a text, but {self.label_file.full_name} can't be "
                f"read ({error}); correct it, or give {_KEY}.label and {_KEY}.json_key"
            ) from error

    def group(self) -> str | None:
        """Return the group as text; ``None`` if none is asked for. Raises ``DataError``."""
        key, file = self.keys.group, self.group_file
        if key is None:
            return None
        try:
            if file is None:
                raise ValueError("its sample has no json")
            return _text(file, "json", key)
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(
                f"{_KEY}.group must be a key of every sample's json with a number or a text, but "
                f"{(file or self.picture).full_name} can't be used ({error}); correct it, or leave "
                "group out"
            ) from error


def _samples(path: Path, keys: _Keys) -> Iterator[_Sample]:
    """Yield the samples of a tar file. Raises ``DataError``."""
    for name, files in itertools.groupby(_entries(path), key=lambda file: _split(file.name)[0]):
        sample: dict[str, Packed] = {}
        for file in files:
            if sample.setdefault(_split(file.name)[1], file) is not file:
                raise DataError(
                    f"every sample must have a file of each kind once, but {file.full_name} is "
                    "there twice; write the tar file again"
                )
        pictures = [suffix for suffix in sample if f".{suffix}" in SUFFIXES]
        image = keys.image or (pictures[0] if len(pictures) == 1 else None)
        label = keys.label or next((suffix for suffix in ("cls", "json") if suffix in sample), None)
        if image not in sample or label not in sample:
            raise DataError(
                f"every sample must have one picture ({keys.image or 'jpg, png, ..'}) and its "
                f"class ({keys.label or 'cls or json'}), but {name} in {path} has "
                f"{first_few([*sample])}; give the endings as {_KEY}.image and {_KEY}.label"
            )
        json_ending = label if _is_json(label) else "json"
        yield _Sample(
            picture=sample[image],
            label_file=sample[label],
            ending=label,
            group_file=sample.get(json_ending),
            keys=keys,
        )


def _is_json(ending: str) -> bool:
    return ending.rpartition(".")[2] == "json"


def _text(place: Packed, ending: str, key: str | Callable[[Mapping[str, Any]], str | None]) -> str:
    """Return the text in a file, or the value of a key if it is JSON.

    Args:
        place: The file.
        ending: Its ending.
        key: The key, or a function that finds it among those of the file.

    Raises:
        OSError: It can't be read.
        ValueError: It isn't a text or a number.
    """
    if _is_json(ending):
        values = _values(place)
        field_name = key if isinstance(key, str) else key(values)
        if field_name not in values:
            raise ValueError(f"{field_name or 'a label'} isn't among {first_few([*values])}")
        if not isinstance(values[field_name], int | str):
            raise ValueError(f"{field_name!r} isn't a number or a text")
        text = str(values[field_name])
    else:
        text = _content(place)
    if not text.strip():
        raise ValueError("it is empty")
    return text.strip()


def _values(place: Packed) -> dict[str, Any]:
    values = json.loads(_content(place))
    if not isinstance(values, dict):
        raise ValueError("it isn't a JSON object")
    return values


def _content(place: Packed) -> str:
    if place.size > _LARGEST_LABEL:
        raise ValueError(f"it has {place.size:,} bytes; at most {_LARGEST_LABEL:,} are read")
    return read_packed(place).decode()


def _clear_label(values: Mapping[str, Any]) -> str | None:
    return find_columns([*values]).label


def is_shard(path: Path) -> bool:
    """Whether the first samples of a tar file are pictures with their classes."""
    try:
        return len([sample.label() for sample in _first_samples(path)]) > 0
    except DataError:
        return False


def group_key_in(path: Path) -> str | None:
    """Return the key of ``json`` that has a common name for groups and values of groups.

    Args:
        path: A tar file for which ``is_shard`` is true.
    """
    samples = _first_samples(path)
    try:
        contents = [
            _values(sample.group_file) for sample in samples if sample.group_file is not None
        ]
        key = find_columns([*contents[0]]).group if contents else None
        groups = [
            replace(sample, keys=replace(sample.keys, group=key)).group() for sample in samples
        ]
    except (DataError, OSError, ValueError, RecursionError):
        return None
    return key if 1 < len(set(groups)) < len(groups) else None


def _first_samples(path: Path) -> list[_Sample]:
    keys = _Keys(image=None, label=None, json_key=None)
    return [*itertools.islice(_samples(path, keys), _FIRST_SAMPLES)]


def _split(name: str) -> tuple[str, str]:
    """Return the name of a file's sample, and its ending: what follows the first dot."""
    folder, slash, base = name.rpartition("/")
    stem, _, ending = base.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def _entries(path: Path) -> Iterator[Packed]:
    """Yield the files in a tar file, in its order; nothing is extracted.

    Raises:
        DataError: If it is damaged, ends too early, or contains something else than files and
            folders, or a name that leads out of it.
    """
    try:
        with open_regular(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                name = require_inner_name(member.name, path)
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise DataError(
                        f"{path} must contain plain files, but {name!a} is a link or something "
                        "else; write the tar file again"
                    )
                yield Packed(
                    file=path,
                    name=name,
                    offset=member.offset_data,
                    size=member.size,
                    stored=member.size,
                )
            # tarfile ends without an error at a header that is damaged or missing
            file.seek(archive.offset)
            if file.read(_BLOCK) != bytes(_BLOCK):
                raise DataError(
                    f"{path} must end with a block of zeros, but doesn't at byte "
                    f"{archive.offset:,}; it is damaged or incomplete, get the file again"
                )
    except (OSError, tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(
            f"{path} must be a tar file that isn't compressed, but can't be read ({reason}); get "
            "the file again"
        ) from error


def _labels_in(path: Path, keys: _Keys) -> list[str]:
    return sorted({sample.label() for sample in _samples(path, keys)})


def _groups_in(path: Path, keys: _Keys) -> list[str]:
    return sorted({sample.group() or "" for sample in _samples(path, keys)})


def _require_apart(files: Mapping[str, Sequence[Path]], keys: _Keys, memo: Path) -> None:
    """Raise ``DataError`` if a group is in two parts."""
    if keys.group is None:
        return
    file_of: dict[str, Path] = {}
    reading = {"groups": [keys.image, keys.label, keys.group]}
    for own in files.values():
        groups = {
            group: file
            for file in own
            for group in measure_once(file, reading, partial(_groups_in, file, keys), memo)
        }
        shared = sorted(groups.keys() & file_of.keys())
        if shared:
            raise DataError(
                f"no group may be in two parts, but {len(shared):,} are, such as {shared[0]}, "
                f"which is in {file_of[shared[0]]} and in {groups[shared[0]]}; move each group of "
                f"{keys.group!r} into one of them"
            )
        file_of |= groups


def _in_order(labels: set[str], path: Path) -> tuple[str, ...]:
    """Return the classes: numbers by size, other texts by letter."""
    if len(labels) < 2:
        raise DataError(
            f"there must be at least two classes, but {path} and the files beside it contain "
            f"{f'only {first_few([*labels])}' if labels else 'no sample'}; give {_KEY}.label"
        )
    if all(map(_WHOLE.fullmatch, labels)):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def _read(
    files: Sequence[Path], keys: _Keys, names: Sequence[str], counted: bool, colour: Colour
) -> Images:
    samples = [sample for file in files for sample in _samples(file, keys)]
    labels = [sample.label() for sample in samples]
    numbers = {name: number for number, name in enumerate(names)}
    if counted and all(map(_WHOLE.fullmatch, labels)):
        numbers = {str(number): number for number in range(len(names))}
    wrong = [
        f"{sample.picture.name}: {label}"
        for sample, label in zip(samples, labels, strict=True)
        if label not in numbers
    ]
    if wrong:
        raise DataError(
            f"every label must be one of the classes ({first_few([*numbers])}), but {len(wrong):,} "
            f"of {len(samples):,} in {first_few(files, 3)} aren't: {first_few(wrong, 3, '; ')}"
        )
    return Images(
        images=PackedPictures(places=[sample.picture for sample in samples], colour=colour),
        labels=np.array([numbers[label] for label in labels], dtype=np.int64),
        groups=_numbered([sample.group() for sample in samples]),
    )


def _numbered(groups: Sequence[str | None]) -> NDArray[np.int64] | None:
    """Return a number for each picture's group; ``None`` without groups."""
    texts = [group for group in groups if group is not None]
    return np.unique(texts, return_inverse=True)[1].astype(np.int64) if texts else None


def _names(files: Sequence[Path], keys: _Keys) -> Callable[[int], str]:
    @cache  # a report asks for hundreds of names, and each would read all headers
    def listed() -> list[str]:
        pictures = (sample.picture for file in files for sample in _samples(file, keys))
        return [f"{picture.file.name}/{picture.name}" for picture in pictures]

    return lambda index: listed()[index]
