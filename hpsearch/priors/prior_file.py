"""The file of a learned prior: its forest, and the data that the forest was grown from.

It is an ``.npz`` of plain arrays, without pickle: reading it runs no code. It contains features and
ranks of each table's configurations, so that the forest can be grown again, or with more tables.
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.durable_files import write_file
from hpsearch.errors import UserError
from hpsearch.priors.features import NAMES
from hpsearch.priors.forest import Forest, grow
from hpsearch.regular_file import open_regular

#: The version of the file's format.
_FORM = 1

#: Unpacked; a prior of ten thousand searches has fewer.
_MOST_BYTES = 128 * 2**20


@dataclass(frozen=True, kw_only=True, eq=False)
class PriorExamples:
    """The examples from one table, a finished search of one space."""

    name: str
    #: SHA-256 (hex) of the table.
    sha256: str
    #: Tables of one data set weigh together as much as another data set.
    data_set: str
    #: (configurations, features): the columns are ``features.NAMES``.
    rows: NDArray[np.float32]
    #: (configurations,): rank within the table, 0 for the worst to 1 for the best; equal ones
    #: share the mean of theirs.
    ranks: NDArray[np.float32]
    #: Names of the optimizers' classes in it.
    families: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Learned:
    """A forest and the examples that it was grown from."""

    forest: Forest
    examples: tuple[PriorExamples, ...]
    #: The version of scikit-learn that grew the forest.
    grown_by: str

    @property
    def families(self) -> frozenset[str]:
        """Names of the optimizers' classes in the examples."""
        return frozenset(family for table in self.examples for family in table.families)


def learned_from(examples: Sequence[PriorExamples]) -> Learned:
    """Grow a forest from all examples.

    All data sets have the same weight, and so do the tables of one, whatever their number of rows.
    """
    import sklearn

    tables = Counter(table.data_set for table in examples)
    scaled = np.concatenate(
        [
            np.full(len(table.rows), 1 / len(table.rows) / tables[table.data_set])
            for table in examples
        ]
    )
    scaled *= len(scaled) / scaled.sum()
    forest = grow(
        np.concatenate([table.rows for table in examples]),
        np.concatenate([table.ranks for table in examples]),
        scaled,
    )
    return Learned(forest=forest, examples=tuple(examples), grown_by=str(sklearn.__version__))


def write(learned: Learned, file: Path) -> None:
    """Write a prior; the same prior gives the same bytes."""
    examples = learned.examples
    arrays: dict[str, Any] = {
        "form": np.array(_FORM),
        "features": np.array(NAMES),
        "grown_by": np.array(learned.grown_by),
        **{field.name: getattr(learned.forest, field.name) for field in fields(Forest)},
        "tables": np.array([table.name for table in examples]),
        "sha256": np.array([table.sha256 for table in examples]),
        "data_sets": np.array([table.data_set for table in examples]),
        "families": np.array([",".join(table.families) for table in examples]),
        "lengths": np.array([len(table.rows) for table in examples], dtype=np.int32),
        "rows": np.concatenate([table.rows for table in examples]),
        "ranks": np.concatenate([table.ranks for table in examples]),
    }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_file(file, content.getbuffer())


def read(file: Path) -> Learned:
    """Read a prior.

    Raises:
        UserError: The file can't be read, isn't a prior, or is from another version of hpsearch.
    """
    try:
        with open_regular(file) as opened, np.load(opened, allow_pickle=False) as arrays:
            _require_size(arrays.zip)
            return _read({name: arrays[name] for name in arrays.files})
    except MemoryError:
        raise UserError(
            f"a prior must be an .npz file that hpsearch has written, but {file} isn't one: by its "
            "header, an array in it is larger than the memory"
        ) from None
    except OSError as error:
        raise UserError(f"a prior must be a file that can be read, but {file}: {error}") from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"a prior must be an .npz file that hpsearch has written, but {file} isn't one: {error}"
        ) from error


def _require_size(archive: zipfile.ZipFile) -> None:
    """Refuse an archive that unpacks to more than any prior: a small file may fill the memory."""
    size = sum(member.file_size for member in archive.infolist())
    if size > _MOST_BYTES:
        raise ValueError(f"it may unpack to {_MOST_BYTES:,} bytes, but unpacks to {size:,}")


def _read(arrays: dict[str, NDArray[Any]]) -> Learned:
    if int(arrays["form"]) != _FORM or tuple(map(str, arrays["features"])) != NAMES:
        raise ValueError("it was written by another version of hpsearch")
    forest = Forest(**{field.name: arrays[field.name] for field in fields(Forest)})
    if not forest.is_sound(len(NAMES)):
        raise ValueError("its trees are damaged")
    ends = np.cumsum(arrays["lengths"])[:-1]
    rows, ranks = np.split(arrays["rows"], ends), np.split(arrays["ranks"], ends)
    examples = tuple(
        PriorExamples(
            name=str(arrays["tables"][number]),
            sha256=str(arrays["sha256"][number]),
            data_set=str(arrays["data_sets"][number]),
            rows=rows[number],
            ranks=ranks[number],
            families=tuple(str(arrays["families"][number]).split(",")),
        )
        for number in range(len(arrays["tables"]))
    )
    return Learned(forest=forest, examples=examples, grown_by=str(arrays["grown_by"]))
