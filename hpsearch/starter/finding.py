"""Which data source reads a path, and with which keys. Nothing is decoded."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpsearch.errors import DataError, UnknownName, UserError
from hpsearch.formatting import count_noun, first_few
from hpsearch.training.data.images import SOURCES
from hpsearch.training.data.picture_files import is_hidden, is_picture
from hpsearch.training.data.sources.array_files import arrays_in, find_arrays
from hpsearch.training.data.sources.parquet import columns_in
from hpsearch.training.data.sources.table_columns import Columns, find_columns
from hpsearch.training.data.sources.table_rows import (
    PARQUET_ENDINGS,
    TEXT_ENDINGS,
    is_table,
    read_table,
)
from hpsearch.training.data.sources.torchvision_sets import set_names, source_of_set
from hpsearch.training.data.sources.webdataset import SHARDS, group_key_in, is_shard

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
_PICKLES = (".pkl", ".pickle")
_ARRAYS = (".npz", ".npy")
#: Endings of files that are tables and nothing else; a text may be anything.
_CERTAIN_TABLES = (".csv", ".tsv")
_IDX = ("train-images-idx3-ubyte", "train-images-idx3-ubyte.gz")

#: A folder's name is a part of the data: ``train``, ``Testing``, ``seg_train``, ``valid_images``.
_PART = re.compile(
    r"(?:.*[-_ ])?(?:(?P<train>train(?:ing)?)|(?P<val>val(?:id(?:ation)?)?|dev)"
    r"|(?P<test>test(?:ing)?|eval(?:uation)?))(?:[-_ ].*|[0-9]*)",
    re.IGNORECASE,
)

_ONE_FOLDER_EACH = "hpsearch init needs a folder for each class (cat/1.png, dog/2.png)"


@dataclass(frozen=True, kw_only=True)
class SourceChoice:
    """A data source and its keys."""

    #: A name under ``data.source``.
    source: str
    #: Its keys; paths are absolute.
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: What was decided on the way, each a sentence without a full stop.
    notes: tuple[str, ...] = ()


def find(path: Path) -> SourceChoice:
    """Return the source that reads a folder or file.

    Args:
        path: What the user named.

    Raises:
        DataError: Nothing there can be searched with; the message shows what to do.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - keeps links, whose names people know
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise DataError(
            f"the path of the pictures must be UTF-8 text, since a study file is, but {path!a} "
            "isn't; rename it"
        ) from None
    if not path.exists():
        raise DataError(f"the folder or file of the pictures must exist, but {path} doesn't")
    return _in_folder(path) if path.is_dir() else _in_file(path)


def find_named(name: str) -> SourceChoice:
    """Return the source of a data set that hpsearch or torchvision knows by name.

    Args:
        name: A source, such as ``fashion_mnist``, or a set of torchvision in any case: ``eurosat``.

    Raises:
        UnknownName: There is no such set.
        DataError: The source needs further keys.
    """
    if name not in SOURCES:
        match = source_of_set(name)
        if match is None:
            names = (*SOURCES.names(), *(set_name.lower() for set_name in set_names()))
            raise UnknownName("data set", name, names)
        return SourceChoice(source=match[0], settings=match[1])
    missing = [key.name for key in SOURCES[name].keys.values() if key.required]
    if missing:
        sets = "a set of torchvision by its own name (--data eurosat)"
        data = sets if name == "torchvision" else "the path of the data (hpsearch init PATH)"
        raise DataError(
            f"--data takes a data set that needs no further keys, but {name} needs "
            f"{', '.join(missing)}; give {data}, or write the study file yourself (docs/data.md)"
        )
    return SourceChoice(source=name)


def with_changes(choice: SourceChoice, changes: Mapping[str, Any]) -> SourceChoice:
    """Return a source with keys that the user gave.

    Args:
        choice: The source.
        changes: Values by paths in a study file: ``data.source.table.images_path``. A relative
            path is one of the current folder.

    Raises:
        UserError: A path is none of a key of this source.
    """
    prefix, keys = f"data.source.{choice.source}.", SOURCES[choice.source].keys
    settings = dict(choice.settings)
    for path, value in changes.items():
        key = path.removeprefix(prefix)
        if not path.startswith(prefix) or key not in keys:
            raise UserError(
                f"--set changes the keys of the data source, here {prefix}KEY with one of "
                f"{first_few(list(keys), 20)}, but got {path!r}; change other keys in the file"
            )
        is_path = isinstance(value, str) and (key == "path" or key.endswith("_path"))
        settings[key] = os.path.abspath(value) if is_path else value  # noqa: PTH100 - keeps links
    return replace(choice, settings=settings)


def _in_file(path: Path) -> SourceChoice:
    name = path.name.lower()
    if name.endswith(SHARDS) and is_shard(path):
        return _shards(path, path)
    if name.endswith(_ARCHIVES):
        raise DataError(
            f"pictures in an archive must be unpacked first, but {path} is one; unpack it into a "
            "folder, and give that folder (only WebDataset's .tar files are read as they are: each "
            "picture is followed by its class, in a file .cls or .json)"
        )
    if name.endswith(_PICKLES):
        return SourceChoice(source="pickled_dict", settings={"path": str(path)})
    if name.endswith(PARQUET_ENDINGS) and (columns := columns_in(path)):
        return _parquet(path, columns)
    if is_table(name):
        return _in_table(path)
    if name.endswith(_ARRAYS):
        # Images and labels are in one .npz file, but in two .npy files
        return _arrays(path if name.endswith(".npz") else path.parent)
    if is_picture(name):
        raise DataError(f"{_ONE_FOLDER_EACH}, but {path} is one picture; give the folder above")
    raise DataError(
        "hpsearch init reads a folder of pictures, a table of file names and classes (.csv, .tsv, "
        f".parquet), WebDataset's files (.tar), arrays ({', '.join(_ARRAYS)}), or a pickled "
        f"dictionary ({', '.join(_PICKLES)}), but {path} is none of them"
    )


def _in_folder(path: Path) -> SourceChoice:
    if any((path / name).is_file() for name in _IDX):
        return SourceChoice(source="idx", settings={"path": str(path)})
    root = _without_wrapping(path)
    names = subfolders(root)
    parts = _parts(root, names)
    if "train" in parts:
        return _of_parts(root, names, parts)
    # Folders called train and test, with pictures directly in them, are no classes either
    classes = [n for n in names if _has_pictures(root / n) and not _PART.fullmatch(n)]
    if len(classes) < 2:
        choice = _shards_in(root) or _parquet_in(root) or _table_in(root) or _arrays_in(root)
        if choice is not None:
            return choice
        for name in _tables_of(root):  # none can be used; the first one's error shows why
            return _in_table(root / name)
    if not names:
        raise _no_classes(root)
    if len(names) == 1:
        raise DataError(
            f"a model needs at least two classes to distinguish, but {root} contains only the "
            f"folder {names[0]!a}; add a folder for each other class, or give the folder above "
            "the classes"
        )
    if not any(_has_pictures(root / name) for name in names):
        deeper = next((f"{root / name}" for name in names if subfolders(root / name)), None)
        hint = (
            ""
            if deeper is None
            else f"; if {deeper} contains the classes, give that folder, and if it is a class, "
            "move its pictures up into it"
        )
        raise DataError(
            f"{_ONE_FOLDER_EACH}, but none of the {count_noun(len(names), 'folder')} in {root} "
            f"({first_few(names, 5)}) contains a picture{hint}"
        )
    return SourceChoice(
        source="image_folder", settings={"path": str(root)}, notes=_root_notes(path, root)
    )


def _folder(settings: Mapping[str, Any], notes: Sequence[str]) -> SourceChoice:
    return SourceChoice(source="image_folder", settings=settings, notes=tuple(notes))


def _table_in(root: Path) -> SourceChoice | None:
    """Return the one table of a folder that names pictures and their classes, if there is one.

    Competitions come with several: those without classes, and samples of a submission, are left
    out, and of the others the one for training is taken.
    """
    tables = {}
    for name in _tables_of(root, (*TEXT_ENDINGS, *PARQUET_ENDINGS)):
        try:
            columns = _columns(root / name)
        except DataError:  # not a table of pictures
            continue
        if columns.file is not None and (columns.label is not None or columns.one_hot):
            tables[name] = root / name
    training = {name: path for name, path in tables.items() if "train" in name.lower()}
    candidates = training if len(tables) > 1 else tables
    if len(candidates) == 1:
        ((name, path),) = candidates.items()
        table = _in_table(path)
        return replace(table, notes=(f"the classes are in {name}", *table.notes))
    if tables:
        raise DataError(
            f"one table must give the classes, but {root} has {first_few(list(tables), 5)}; give "
            f"the path of the table, such as {next(iter(tables.values()))}"
        )
    return None


def _tables_of(root: Path, endings: Sequence[str] = _CERTAIN_TABLES) -> list[str]:
    names = (e.name for e in _entries(root) if e.is_file() and "submission" not in e.name.lower())
    return sorted(name for name in names if name.lower().endswith(tuple(endings)))


def _shards_in(root: Path) -> SourceChoice | None:
    """Return a folder of tar files in which pictures are followed by their classes."""
    files = sorted(path for path in root.rglob("*") if path.name.lower().endswith(SHARDS))
    return _shards(root, files[0]) if files and is_shard(files[0]) else None


def _shards(path: Path, first: Path) -> SourceChoice:
    settings = {"path": str(path)}
    group = group_key_in(first)
    return SourceChoice(
        source="webdataset", settings=settings if group is None else {**settings, "group": group}
    )


def _parquet_in(root: Path) -> SourceChoice | None:
    """Return a folder of Parquet files with the pictures inside, as Hugging Face's data sets."""
    files = [path for ending in PARQUET_ENDINGS for path in sorted(root.rglob(f"*{ending}"))]
    columns = columns_in(files[0]) if files else None
    return None if columns is None else _parquet(root, columns)


def _parquet(path: Path, columns: tuple[str, str]) -> SourceChoice:
    image, label = columns
    return SourceChoice(
        source="parquet", settings={"path": str(path), "image": image, "label": label}
    )


def _arrays_in(root: Path) -> SourceChoice | None:
    """Return the one ``.npz`` file of a folder, or its ``.npy`` files, if there are some."""
    names = sorted(e.name for e in _entries(root) if e.name.lower().endswith(_ARRAYS))
    whole = [name for name in names if name.lower().endswith(".npz")]
    if len(whole) > 1:
        raise DataError(
            f"one file must contain the images and their labels, but {root} has "
            f"{first_few(whole, 5)}; give the path of one"
        )
    return _in_file(root / (whole or names)[0]) if names else None


def _arrays(path: Path) -> SourceChoice:
    """Return a file of arrays, or a folder of them, with the keys that are clear by their names."""
    clear = find_arrays({key: array.shape for key, array in arrays_in(path).items()})
    settings = {"path": str(path)}
    for part, prefix in (("train", ""), ("validation", "val_"), ("test", "test_")):
        if part in clear.images and part in clear.labels:
            settings[f"{prefix}images_key"] = clear.images[part]
            settings[f"{prefix}labels_key"] = clear.labels[part]
    if clear.names is not None:
        settings["names_key"] = clear.names
    return SourceChoice(source="arrays", settings=settings)


def _in_table(path: Path) -> SourceChoice:
    """Return a table of file names and classes; pictures are beside it or in the one archive."""
    columns = _columns(path)
    if columns.file is None or (columns.label is None and not columns.one_hot):
        header = read_table(path).header
        raise DataError(
            f"a table of pictures needs a column of file names and one of classes, but of the "
            f"columns of {path} ({first_few(header)}) none is clearly "
            f"{'the first' if columns.file is None else 'the second'}; rename them to image and "
            "label"
        )
    settings: dict[str, Any] = {"path": str(path)}
    archives = sorted(e.name for e in _entries(path.parent) if e.name.lower().endswith(".zip"))
    if len(archives) == 1 and not _pictures_below(path.parent):
        settings["images_path"] = str(path.parent / archives[0])
    settings["file"] = columns.file
    if columns.label is not None:
        settings["label"] = columns.label
    else:
        settings["one_hot"] = list(columns.one_hot)
    if columns.split is not None:
        settings["split"] = columns.split
    if columns.group is not None:
        values = read_table(path).column(columns.group)
        if all(values) and 1 < len(set(values)) < len(values):
            settings["group"] = columns.group
    return SourceChoice(source="table", settings=settings)


def _columns(path: Path) -> Columns:
    table = read_table(path)
    return find_columns(table.header, table.rows)


def _pictures_below(path: Path) -> bool:
    return any(is_picture(name) for _, _, names in os.walk(path) for name in names)


def _of_parts(root: Path, names: Sequence[str], parts: Mapping[str, str]) -> SourceChoice:
    """Return a folder whose subfolders are parts: ``train``, ``val``, ``test``."""
    folders = {part: _without_wrapping(root / name) for part, name in parts.items()}
    empty = [f"{folder}" for folder in folders.values() if not subfolders(folder)]
    train = folders["train"]
    if not subfolders(train):
        raise _no_classes(train)
    unlabelled = [part for part in folders if f"{folders[part]}" in empty]
    notes = [
        f"{folders[part]} is left out: its pictures aren't in folders of their classes"
        for part in unlabelled
    ]
    keys = {"train": "path", "val": "val_path", "test": "test_path"}
    settings = {
        keys[part]: str(folder) for part, folder in folders.items() if part not in unlabelled
    }
    others = [name for name in names if name not in parts.values()]
    if others:
        notes.append(f"{first_few(others, 5)} in {root} {'is' if len(others) == 1 else 'are'} "
                     "left out: not a part of the data by name")  # fmt: skip
    return _folder(settings, notes)


def _parts(root: Path, names: Sequence[str]) -> dict[str, str]:
    """Return part -> its folder, if the subfolders of ``root`` are parts and not classes."""
    folders: dict[str, str] = {}
    for name in names:
        match = _PART.fullmatch(name)
        if match is None or match.lastgroup is None:
            continue
        if not (subfolders(root / name) or _has_pictures(root / name)):
            continue
        if match.lastgroup in folders:  # ``test1`` and ``test2`` may as well be classes
            return {}
        folders[match.lastgroup] = name
    train = folders.get("train")
    return folders if train is not None and subfolders(root / train) else {}


def _no_classes(root: Path) -> DataError:
    entries = _entries(root)
    pictures = sum(is_picture(entry.name) for entry in entries)
    archives = sorted(e.name for e in entries if e.name.lower().endswith(_ARCHIVES))
    if pictures:
        return DataError(
            f"{_ONE_FOLDER_EACH}, but {count_noun(pictures, 'picture')} of {root} "
            f"{'is' if pictures == 1 else 'are'} directly in it, so their classes aren't known; "
            "move them into a folder for each class"
        )
    if archives:
        return DataError(
            f"pictures in an archive must be unpacked first, but {root} contains only "
            f"{first_few(archives, 5)}; unpack it, and give the folder with the classes"
        )
    return DataError(f"{_ONE_FOLDER_EACH}, but {root} contains no folder and no picture")


def _without_wrapping(path: Path) -> Path:
    """Return the first folder that isn't only the wrapping of another one, as archives make it."""
    while True:
        names = subfolders(path)
        if len(names) != 1 or _has_pictures(path) or not subfolders(path / names[0]):
            return path
        path = path / names[0]


def _root_notes(path: Path, root: Path) -> tuple[str, ...]:
    return () if path == root else (f"the classes are in {root}",)


def subfolders(path: Path) -> list[str]:
    """Return the names of a folder's subfolders, without hidden ones, sorted."""
    return sorted(entry.name for entry in _entries(path) if entry.is_dir())


def _has_pictures(path: Path) -> bool:
    return any(is_picture(entry.name) for entry in _entries(path) if not entry.is_dir())


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        raise DataError(
            f"every folder of pictures must be readable, but {path} isn't ({error.strerror})"
        ) from error
