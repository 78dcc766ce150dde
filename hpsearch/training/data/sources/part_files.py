"""Files of a data set that is stored in several: which part each is, and whether one is missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hpsearch.errors import DataError
from hpsearch.formatting import first_few
from hpsearch.training.data.picture_files import is_hidden
from hpsearch.training.data.place import absolute
from hpsearch.training.data.sources.table_columns import PARTS

#: The name of a file that is one of several.
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})")


def given_parts(
    prefix: str,
    listing: Callable[[Path, str], dict[str, list[Path]]],
    *,
    path: Path,
    val_path: Path | None,
    test_path: Path | None,
    test_fraction: float | None,
) -> dict[str, list[Path]]:
    """Return the files of each part, from a source's settings.

    Args:
        prefix: The name of the settings in the study file, for errors: ``data.source.parquet``.
        listing: Returns the files of each part at a path; it also gets the setting of the path.
        path: The setting of this name.
        val_path: The setting of this name.
        test_path: The setting of this name.
        test_fraction: The setting of this name.

    Returns:
        ``train``, ``validation`` or ``test`` -> files; only parts that are there.

    Raises:
        DataError: If there are no training files, or a part is given twice.
    """
    root = absolute(path)
    files = listing(root, f"{prefix}.path")
    for name, key, other in (("validation", "val", val_path), ("test", "test", test_path)):
        if other is None:
            continue
        if name in files:
            raise DataError(
                f"the {name} pictures must be given once, but {root} contains "
                f"{first_few([file.name for file in files[name]], 3)}, and {prefix}.{key}_path "
                "gives others; leave it out"
            )
        # Their part is given, whatever their names say
        own = listing(absolute(other), f"{prefix}.{key}_path")
        files[name] = [file for part in own.values() for file in part]
    if "train" not in files:
        raise DataError(
            f"{prefix}.path must contain training pictures, but {root} contains only "
            f"{first_few([file.name for part in files.values() for file in part], 3)}"
        )
    if test_fraction is not None and "test" in files:
        raise DataError(
            f"{prefix}.test_fraction sets test pictures aside if there are none, but there are "
            f"some in {first_few(files['test'], 3)}; leave test_fraction out"
        )
    return files


def files_of_parts(path: Path, endings: Sequence[str], key: str) -> dict[str, list[Path]]:
    """Return the files of each part, in the order of their names.

    Args:
        path: A file, which is a training part, or a folder. The part of a file in it is a word of
            its name, or else of its folder's name; if none has one, all are training parts.
        endings: The endings of the files, in lower case.
        key: The setting that gives ``path``, for errors.

    Returns:
        ``train``, ``validation`` or ``test`` -> files; only parts that are there.

    Raises:
        DataError: If there is no such file, the part of one isn't clear, or one of several that
            belong together is missing.
    """
    if path.is_file():
        return {"train": [path]}
    if not path.is_dir():
        raise DataError(
            f"{key} must be a file ({', '.join(endings)}) or a folder of such files, but {path} "
            "doesn't exist"
        )
    all_files = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in endings and not is_hidden(file.relative_to(path).as_posix())
    )
    parts: dict[str, list[Path]] = {}
    if not all_files:
        raise DataError(
            f"{key} must contain files that end in {', '.join(endings)}, but {path} contains none"
        )
    part_of = {file: _part_of(file.relative_to(path)) for file in all_files}
    without = [file.name for file, part in part_of.items() if part is None]
    if without and len(without) < len(all_files):
        raise DataError(
            f"the name of each file, or of its folder, must contain its part (train, validation or "
            f"test) if those of others do, but {first_few(without, 3)} in {path} contain none or "
            "several; rename or remove them"
        )
    for file, part in part_of.items():
        parts.setdefault(part or "train", []).append(file)
    for part, files in parts.items():
        folders = sorted({file.parent for file in files})
        if len(folders) > 1:
            raise DataError(
                f"the files of a part must be in one folder, but {path} contains {part} files in "
                f"{first_few(folders, 3)}; give one folder as {key}"
            )
        _require_all(files)
    return parts


def _part_of(path: Path) -> str | None:
    """Return the only part that is a word of a file's name, or else of its folder's."""
    for name in (path.stem, path.parent.name):
        words = re.split(r"[^a-z]+", name.lower())
        parts = {PARTS[word] for word in words if word in PARTS}
        if parts:
            return parts.pop() if len(parts) == 1 else None
    return None


def _require_all(files: Sequence[Path]) -> None:
    """Raise ``DataError`` if one of several files that belong together is missing."""
    numbers: dict[tuple[str, int], set[int]] = {}
    for file in files:
        if match := _SHARD.fullmatch(file.stem):
            key = (match["stem"], int(match["count"]))
            numbers.setdefault(key, set()).add(int(match["number"]))
    for (stem, count), own in numbers.items():
        missing = [number for number in range(count) if number not in own]
        if missing:
            raise DataError(
                f"all {count:,} files {stem}-*-of-{count:05} must be there, but "
                f"{files[0].parent} lacks {len(missing):,} of them, such as "
                f"{stem}-{missing[0]:05}-of-{count:05}{files[0].suffix}; get them again"
            )
