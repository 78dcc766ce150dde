"""A folder of pictures, one subfolder per class: ``<path>/<class>/<picture>.png``."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError
from hpsearch.formatting import count_noun, first_few
from hpsearch.regular_file import kind_of
from hpsearch.training.data.group_split import (
    TestFraction,
    compile_pattern,
    group_in_name,
    hold_out,
)
from hpsearch.training.data.images import SOURCES, Images, Part, Source
from hpsearch.training.data.picture_files import (
    SUFFIXES,
    Colour,
    PictureFiles,
    by_ending,
    ending,
    is_hidden,
    is_picture,
)
from hpsearch.training.data.place import DataRoot, absolute

#: Subfolders that are parts, not classes, if there are no others; upper and lower case are equal.
_PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
#: Names that are common for parts and rare for classes: ``test1``, ``train_images``.
_PART_NAME = re.compile(
    r"(?:(?:images?|imgs?|data|pictures?)[-_ ])?"
    r"(?:train(?:ing)?|val(?:id(?:ation)?)?|test(?:ing)?|dev|eval(?:uation)?)"
    r"[-_ ]?(?:set|images?|imgs?|data|pictures?)?[-_ ]?[0-9]*",
    re.IGNORECASE,
)


@SOURCES.register("image_folder")
def image_folder(
    place: DataRoot,
    /,
    *,
    path: Path,
    val_path: Path | None = None,
    test_path: Path | None = None,
    test_fraction: TestFraction | None = None,
    group: str | None = None,
    colour: Colour = "rgb",
) -> Source:
    """A folder with one subfolder of pictures per class; the subfolder's name is the class's.

    Pictures of different sizes need ``data.input_size``.

    Args:
        place: The data root; unused.
        path: The folder. It may also contain ``train``, ``val`` and ``test`` with the classes
            below them.
        val_path: A folder of validation images; ``None``: ``val`` below ``path``, or a part of the
            training images.
        test_path: A folder of test images; ``None``: ``test`` below ``path``, if there is one.
        test_fraction: The share of the images that is held out for tests if there are no test
            images, the same for every seed; ``None``: no images are held out.
        group: A regular expression. Files stay on the same side of every split if it matches the
            same text in their names (that of its first group, if it has one); ``None``: each file
            may be on either side.
        colour: ``rgb`` or ``gray``; pictures are converted to it.

    Raises:
        DataError: If a folder is missing, contains no classes or something unexpected,
            ``test_fraction`` is given although there are test images, or ``group`` is invalid,
            doesn't match a file, or matches the same text in two parts.
    """
    root = absolute(path)
    layout = _layout(root)
    folders = {
        "train": layout.get("train", root),
        "val": layout.get("val") if val_path is None else absolute(val_path),
        "test": layout.get("test") if test_path is None else absolute(test_path),
    }
    if folders["test"] is not None and test_fraction is not None:
        raise DataError(
            "data.source.image_folder.test_fraction sets test images aside if the source has none, "
            f"but {folders['test']} has some; leave test_fraction out"
        )
    pattern = compile_pattern(group, "image_folder.group")
    class_names = _class_names(folders["train"] or root)
    listed = {
        name: _list(folder, class_names, pattern)
        for name, folder in folders.items()
        if folder is not None
    }
    _check_groups(listed)
    train, warnings = listed["train"], _warnings(listed.values())
    if test_fraction is not None:
        split = hold_out(train.labels, _numbered(train.groups), test_fraction)
        listed |= {"train": train.at(split.train), "test": train.at(split.validation)}
    parts = {name: _part(pictures, colour) for name, pictures in listed.items()}
    return Source(
        name="image_folder",
        class_names=class_names,
        train=parts["train"],
        validation=parts.get("val"),
        test=parts.get("test"),
        settings={"colour": colour, "group": group},
        origin=str(root),
        warnings=warnings,
    )


@dataclass(frozen=True, kw_only=True)
class _PartFiles:
    """The picture files of one part, class by class."""

    folder: Path
    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    #: The text that ``group`` matched in each file's name; ``None`` without ``group``.
    groups: tuple[str, ...] | None
    #: How many files were left out, by ending.
    ignored: Counter[str]
    #: How many pictures are beside the class folders, so in no class.
    loose: int

    def at(self, indices: NDArray[np.int64]) -> _PartFiles:
        return replace(
            self,
            files=tuple(self.files[index] for index in indices),
            labels=self.labels[indices],
            groups=None if self.groups is None else tuple(self.groups[i] for i in indices),
        )


def _part(pictures: _PartFiles, colour: Colour) -> Part:
    return Part(
        read=_reader(pictures, colour),
        files=pictures.files,
        name_of=partial(_name, pictures),
        root=pictures.folder,
    )


def _name(pictures: _PartFiles, index: int) -> str:
    name = pictures.files[index].relative_to(pictures.folder).as_posix()
    # A file's name may be any bytes
    return os.fsencode(name).decode("utf-8", "replace")


def _reader(pictures: _PartFiles, colour: Colour) -> Callable[[], Images]:
    def read() -> Images:
        return Images(
            images=PictureFiles(files=pictures.files, colour=colour),
            labels=pictures.labels,
            groups=_numbered(pictures.groups),
        )

    return read


def _numbered(groups: Sequence[str] | None) -> NDArray[np.int64] | None:
    if groups is None:
        return None
    numbers = {text: number for number, text in enumerate(sorted(set(groups)))}
    return np.array([numbers[text] for text in groups], dtype=np.int64)


def _layout(root: Path) -> dict[str, Path]:
    """Return the part folders below ``root``, or none if its subfolders are classes."""
    names = _subfolders(root)
    parts = {name: _PARTS.get(name.lower()) for name in names}
    training = [name for name, part in parts.items() if part == "train"]
    if None in parts.values() or not any(_subfolders(root / name) for name in training):
        return {}
    folders: dict[str, Path] = {}
    for name, part in parts.items():
        if part is None:
            continue
        if part in folders:
            what = {"train": "training", "val": "validation", "test": "test"}[part]
            raise DataError(
                f"a folder of images may have only one folder of {what} images, but {root} has "
                f"{folders[part].name} and {name}; rename or remove one"
            )
        folders[part] = root / name
    return folders


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(_subfolders(folder))
    if len(names) < 2:
        raise DataError(
            "a folder of images must contain a subfolder for each of at least two classes, but "
            f"{folder} contains {f'only {names[0]}' if names else 'none'}; give the folder "
            "directly above the classes as data.source.image_folder.path"
        )
    parts = [name for name in names if _PART_NAME.fullmatch(name)]
    if len(parts) > 1 and all(_subfolders(folder / name) for name in parts):
        raise DataError(
            f"the subfolders of {folder} must be classes, but {first_few(parts)} are names of "
            "parts that contain classes; give each part in data.source.image_folder: path for the "
            "training images, val_path, test_path"
        )
    if len(parts) > 1:
        raise DataError(
            f"the subfolders of {folder} must be classes, but {first_few(parts)} are names of "
            "parts and contain pictures without a class; sort the pictures into a folder for each "
            f"class ({parts[0]}/cat/1.png), or rename the folders if they are classes"
        )
    return names


def _list(folder: Path, class_names: Sequence[str], pattern: re.Pattern[str] | None) -> _PartFiles:
    """List the pictures of every class; raise ``DataError`` if something doesn't belong there."""
    own = _subfolders(folder)
    loose = _picture_names(folder)
    if loose and not own:
        raise DataError(
            f"pictures must be in a folder of their class, but {len(loose):,} are directly in "
            f"{folder}; sort them into classes, or give the folder of the training images as "
            "data.source.image_folder.path"
        )
    unknown = [name for name in own if name not in class_names]
    if unknown:
        raise DataError(
            f"{folder} may contain only the classes of the training images "
            f"({first_few(class_names)}), but it contains {first_few(unknown)}; "
            "remove or rename them"
        )
    contents = {name: _pictures(folder / name) for name in own}
    pictures = {name: files for name, (files, _) in contents.items()}
    empty = [
        f"{folder / name}{by_ending(ignored)}"
        for name, (files, ignored) in contents.items()
        if not files
    ]
    if empty or not pictures:
        raise DataError(
            "every class folder must contain at least one picture "
            f"({', '.join(sorted(SUFFIXES))}), but there is none in {first_few(empty) or folder}; "
            "add pictures or remove the folder"
        )
    files = tuple(file for name in own for file in pictures[name])
    labels = [class_names.index(name) for name in own]
    return _PartFiles(
        folder=folder,
        files=files,
        labels=np.repeat(np.array(labels, dtype=np.int64), [len(pictures[name]) for name in own]),
        groups=None if pattern is None else _groups(files, pattern),
        ignored=sum((ignored for _, ignored in contents.values()), Counter()),
        loose=len(loose),
    )


def _warnings(parts: Iterable[_PartFiles]) -> tuple[str, ...]:
    """Return a sentence for each kind of files that were left out of the parts."""
    warnings = []
    for part in parts:
        if part.ignored:
            left_out = part.ignored.total()
            warnings.append(
                f"{left_out:,} of {left_out + len(part.files):,} files below {part.folder} are "
                f"left out, because their endings aren't those of pictures{by_ending(part.ignored)}"
            )
        if part.loose:
            warnings.append(
                f"{count_noun(part.loose, 'picture')} directly in {part.folder} "
                f"{'is' if part.loose == 1 else 'are'} left out: not in the folder of a class"
            )
    return tuple(warnings)


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in _entries(folder) if entry.is_dir())


def _pictures(folder: Path) -> tuple[list[Path], Counter[str]]:
    """Return the pictures in a class folder, and how many other files there are, by ending."""
    entries = _entries(folder)
    deeper = sorted(entry.name for entry in entries if entry.is_dir())
    if deeper:
        raise DataError(
            f"pictures must be directly in the folder of their class, but {folder} has the "
            f"subfolder(s) {first_few(deeper)}; move the pictures up, or give the folder right "
            "above the classes as data.source.image_folder.path"
        )
    # ``is_picture`` takes the name: a Path for each entry would take several times as long
    names = sorted(entry.name for entry in entries if is_picture(entry.name))
    for entry in entries:
        if is_picture(entry.name) and not entry.is_file():
            raise DataError(
                f"every picture must be a regular file, but {folder / entry.name} is "
                f"{_kind(folder / entry.name)}; remove or rename it"
            )
    ignored = Counter(ending(entry.name) for entry in entries if not is_picture(entry.name))
    return [folder / name for name in names], ignored


def _picture_names(folder: Path) -> list[str]:
    return [entry.name for entry in _entries(folder) if is_picture(entry.name)]


def _kind(path: Path) -> str:
    try:
        return kind_of(path.stat().st_mode)
    except OSError:
        return "a broken link"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not is_hidden(entry.name)]
    except (FileNotFoundError, NotADirectoryError) as error:
        state = "isn't a folder" if folder.exists() else "doesn't exist"
        raise DataError(
            f"data.source.image_folder needs folders of pictures, but {folder} {state}"
        ) from error
    except OSError as error:
        raise DataError(
            f"every folder of pictures must be readable, but {folder} isn't ({error.strerror})"
        ) from error


def _groups(files: Sequence[Path], pattern: re.Pattern[str]) -> tuple[str, ...]:
    groups = [group_in_name(pattern, file.name) for file in files]
    without = [file for file, group in zip(files, groups, strict=True) if not group]
    if without:
        raise DataError(
            "data.source.image_folder.group must match in every file's name, but "
            f"{pattern.pattern!r} doesn't match in {len(without):,} of {len(files):,}: "
            f"{first_few([str(file) for file in without])}; change the pattern or the names"
        )
    return tuple(groups)


def _check_groups(parts: Mapping[str, _PartFiles]) -> None:
    """Raise ``DataError`` if two parts contain pictures of the same group."""
    folder_of: dict[str, Path] = {}
    for part in parts.values():
        own = set(part.groups or ())
        shared = sorted(own & set(folder_of))
        if shared:
            raise DataError(
                f"no group may be in two parts, but {len(shared):,} are in {folder_of[shared[0]]} "
                f"and in {part.folder}: {first_few(shared)}; move each group into one of them"
            )
        folder_of |= dict.fromkeys(own, part.folder)
