"""A dictionary of arrays in a pickle: images, labels and, often, the names of the classes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from hpsearch.errors import DataError
from hpsearch.training.data.content import measure_once
from hpsearch.training.data.group_split import TestFraction
from hpsearch.training.data.images import SOURCES, Part, Source
from hpsearch.training.data.pixel_arrays import Layout, Scale
from hpsearch.training.data.place import DataRoot, absolute
from hpsearch.training.data.sources.held_out import source_of_parts
from hpsearch.training.data.sources.pickled_entries import Keys, class_names_in, read_images


@SOURCES.register("pickled_dict")
def pickled_dict(
    place: DataRoot,
    /,
    *,
    path: Path,
    val_path: Path | None = None,
    test_path: Path | None = None,
    test_fraction: TestFraction | None = None,
    images_key: str | None = None,
    labels_key: str | None = None,
    names_key: str | None = None,
    groups_key: str | None = None,
    layout: Layout = "auto",
    scale: Scale = "auto",
) -> Source:
    """A pickled dictionary of images, labels and class names; nothing in the file is run.

    Labels are texts, or indices of the names. Without names, classes are named by their numbers.

    Args:
        place: The data root, for stored class names.
        path: The file.
        val_path: A file of validation images with the same keys; ``None``: a part of the training
            images.
        test_path: A file of test images with the same keys; ``None``: see ``test_fraction``.
        test_fraction: The share of the images that is held out for tests if there is no
            ``test_path``, the same for every seed; ``None``: no images are held out.
        images_key: The key of the images; ``None``: the only entry that fits.
        labels_key: The key of the labels; ``None``: the only entry that fits.
        names_key: The key of the class names; ``None``: the only entry that fits, if there is one.
        groups_key: The key of one number or text per image; equal ones stay on the same side of
            every split; ``None``: no groups.
        layout: The order of the pixels; ``auto``: the only one that fits the shape.
        scale: The range of the pixels; ``auto``: the only one that fits the values.

    Raises:
        DataError: If a file is missing, ``test_path`` and ``test_fraction`` are both given, or the
            class names can't be read from the file.
    """
    if test_path is not None and test_fraction is not None:
        raise DataError(
            "data.source.pickled_dict.test_fraction sets test images aside if the source has none, "
            f"but test_path is {test_path}; leave one of them out"
        )
    keys = Keys(images=images_key, labels=labels_key, names=names_key, groups=groups_key)
    settings: dict[str, Any] = {
        "keys": [images_key, labels_key, names_key, groups_key],
        "layout": layout,
        "scale": scale,
    }
    file = _file(path)
    names = tuple(
        measure_once(
            file, {"class names": settings}, partial(class_names_in, file, keys), place.memo_folder
        )
    )

    def whole(file: Path) -> Part:
        read = partial(read_images, file, keys, names, layout=layout, scale=scale)
        return Part(read=read, files=(file,))

    paths = {"train": path, "validation": val_path, "test": test_path}
    parts = {
        part: whole(_file(part_path)) for part, part_path in paths.items() if part_path is not None
    }
    return source_of_parts(
        "pickled_dict",
        parts,
        class_names=names,
        settings=settings,
        test_fraction=test_fraction,
        origin=str(file),
    )


def _file(path: Path) -> Path:
    file = absolute(path)
    if not file.is_file():
        state = "isn't a file" if file.exists() else "doesn't exist"
        raise DataError(f"data.source.pickled_dict needs a pickled file, but {file} {state}")
    return file
