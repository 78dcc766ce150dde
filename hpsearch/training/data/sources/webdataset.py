"""WebDataset's shards: tar files in which the files of a sample follow each other.

``0001.jpg``, ``0001.cls`` is a sample: a picture, and its class as text. Instead of ``.cls``, a
``.json`` may contain the class. Format: https://github.com/webdataset/webdataset
"""

from __future__ import annotations

import itertools
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from hpsearch.errors import DataError
from hpsearch.formatting import first_few
from hpsearch.regular_file import open_regular
from hpsearch.training.data.content import remembered
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
from hpsearch.training.data.sources.held_out import held_out
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


@SOURCES.register("webdataset")
def webdataset(
    place: DataRoot,
    /,
    *,
    path: Path,
    image: str | None = None,
    label: str | None = None,
    json_key: str | None = None,
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
        class_names: The classes, which labels that are numbers count from 0; ``None``: the labels.
        val_path: As ``path``, for validation pictures.
        test_path: As ``path``, for test pictures.
        test_fraction: The share of the pictures that is held out for tests if there are no test
            pictures, the same for every seed; ``None``: no pictures are held out.
        colour: ``rgb`` or ``gray``; pictures are converted to it.

    Raises:
        DataError: If a file is missing or damaged, a sample has no picture or no class, or two
            keys contradict each other.
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
    keys = _Keys(image=image, label=label, json_key=json_key)
    if class_names is None:
        labels: set[str] = set()
        for file in files["train"]:
            measure = partial(_labels_in, file, keys)
            reading = {"labels": [image, label, json_key]}
            labels |= set(remembered(file, reading, measure, place.memo_folder))
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
    train, test = parts["train"], parts.get("test")
    if test_fraction is not None:
        settings |= {"test_fraction": test_fraction}
        train, test = held_out(train, test_fraction)
    return Source(
        name="webdataset",
        class_names=names,
        train=train,
        validation=parts.get("validation"),
        test=test,
        settings=settings,
        origin=str(root),
    )


@dataclass(frozen=True, kw_only=True)
class _Keys:
    """What is read of each sample; ``None``: what is clear."""

    image: str | None
    label: str | None
    json_key: str | None


def _files(path: Path, key: str) -> dict[str, list[Path]]:
    """Return the tar files of each part. Raises ``DataError``."""
    if "{" not in path.name and "{" not in path.parent.name:
        if path.is_file() and path.suffix.lower() != ".tar":
            raise DataError(
                f"{key} must be tar files that aren't compressed (.tar), but got {path}; unpack it "
                "by gunzip"
            )
        return files_of_parts(path, (".tar",), key)
    files = [Path(each) for each in _expanded(str(path), key)]
    missing = [each for each in files if not each.is_file()]
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
                own = [f"{each:0{len(match[1])}}" for each in range(first, last + 1)]
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
    """A picture, and its label as text."""

    picture: Packed
    label: str


def _samples(path: Path, keys: _Keys) -> Iterator[_Sample]:
    """Yield the samples of a tar file. Raises ``DataError``."""
    for name, files in itertools.groupby(_entries(path), key=lambda each: _split(each.name)[0]):
        sample: dict[str, Packed] = {}
        for each in files:
            if sample.setdefault(_split(each.name)[1], each) is not each:
                raise DataError(
                    f"every sample must have a file of each kind once, but {each.full_name} is "
                    "there twice; write the tar file again"
                )
        pictures = [each for each in sample if f".{each}" in SUFFIXES]
        image = keys.image or (pictures[0] if len(pictures) == 1 else None)
        label = keys.label or next((each for each in ("cls", "json") if each in sample), None)
        if image not in sample or label not in sample:
            raise DataError(
                f"every sample must have one picture ({keys.image or 'jpg, png, ..'}) and its "
                f"class ({keys.label or 'cls or json'}), but {name} in {path} has "
                f"{first_few([*sample])}; give the endings as {_KEY}.image and {_KEY}.label"
            )
        yield _Sample(picture=sample[image], label=_label(sample[label], label, keys.json_key))


def _label(place: Packed, ending: str, json_key: str | None) -> str:
    """Return a sample's label. Raises ``DataError``."""
    try:
        if place.size > _LARGEST_LABEL:
            raise ValueError(f"it has {place.size:,} bytes; at most {_LARGEST_LABEL:,} are read")
        text = read_packed(place).decode()
        if ending.rpartition(".")[2] == "json":
            values = json.loads(text)
            if not isinstance(values, dict):
                raise ValueError("it isn't a JSON object")
            key = json_key or find_columns([*values]).label
            if key not in values:
                raise ValueError(f"{key or 'a label'} isn't among {first_few([*values])}")
            if not isinstance(values[key], int | str):
                raise ValueError(f"{key!r} isn't a number or a text")
            text = str(values[key])
        if not text.strip():
            raise ValueError("it is empty")
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"a label must be a number or a text, but {place.full_name} can't be read ({error}); "
            f"correct it, or give {_KEY}.label and {_KEY}.json_key"
        ) from error
    return text.strip()


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
    return sorted({sample.label for sample in _samples(path, keys)})


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
    numbers = {name: number for number, name in enumerate(names)}
    if counted and all(_WHOLE.fullmatch(sample.label) for sample in samples):
        numbers = {str(number): number for number in range(len(names))}
    wrong = [
        f"{sample.picture.name}: {sample.label}"
        for sample in samples
        if sample.label not in numbers
    ]
    if wrong:
        raise DataError(
            f"every label must be one of the classes ({first_few([*numbers])}), but {len(wrong):,} "
            f"of {len(samples):,} in {first_few(files, 3)} aren't: {first_few(wrong, 3, '; ')}"
        )
    return Images(
        images=PackedPictures(places=[sample.picture for sample in samples], colour=colour),
        labels=np.array([numbers[sample.label] for sample in samples], dtype=np.int64),
    )


def _names(files: Sequence[Path], keys: _Keys) -> Callable[[int], str]:
    @cache  # a report asks for hundreds of names, and each would read all headers
    def listed() -> list[str]:
        pictures = (sample.picture for file in files for sample in _samples(file, keys))
        return [f"{picture.file.name}/{picture.name}" for picture in pictures]

    return lambda index: listed()[index]
