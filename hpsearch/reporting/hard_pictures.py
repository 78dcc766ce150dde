"""The pictures that trainings get wrong, as thumbnails, if the images are on this machine."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import HpsearchError
from hpsearch.reporting.analysis.matrices import Matrices
from hpsearch.reporting.analysis.pictures import HardPicture
from hpsearch.results.records import StudyRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hpsearch.training.data.prepare import PreparedData

#: Pixels on the longer side.
_THUMBNAIL = 96

#: Most pictures with a probably wrong label that the page shows; ``label_errors.csv`` lists all.
MOST_LABEL_ERRORS = 48


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """One picture, with its predictions."""

    picture: HardPicture
    #: A PNG as a data URI.
    source: str
    #: Its file below the data's folder; ``None`` if its source has no files of single images.
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class HardPictures:
    """The pictures that trainings get wrong."""

    #: The hardest pictures, and the first of those whose label is probably wrong.
    hardest: Sequence[Thumbnail] = ()
    label_errors: Sequence[Thumbnail] = ()
    #: Row -> file of every picture, if its source has files of single images.
    names: Mapping[int, str] = field(default_factory=dict)
    #: Why there is nothing to show, or only rows; ``None`` if there are thumbnails.
    reason: str | None = None


def hard_pictures(
    record: StudyRecord,
    matrices: Matrices | None,
    hashes: Sequence[str],
    *,
    data: Path | None,
    show_images: bool = True,
) -> HardPictures:
    """Return the pictures that trainings get wrong from the validation images, without a download.

    Args:
        record: The study with its trials.
        matrices: Matrices of its confirmation; ``None`` without one.
        hashes: Data hashes of the trials; images with another hash aren't shown.
        data: Folder of the images; ``None`` for the default.
        show_images: Whether to show images; otherwise they are only listed.

    Returns:
        The pictures, or the reason why there are none.
    """
    if matrices is None:
        way = (
            "and a study of several objectives has no confirmation."
            if record.goals.is_multi_objective
            else f"hpsearch confirm --study {record.study.name} runs such trainings."
        )
        return HardPictures(reason="Several trainings are needed to find hard pictures; " + way)
    wrong_pictures = matrices.pictures
    pictures = [*wrong_pictures.hardest, *wrong_pictures.label_errors]
    if not pictures:
        return HardPictures(reason="No training got any validation image wrong.")
    if not show_images:
        return HardPictures(reason="Pictures were not requested.")
    try:
        prepared, names = _prepare_images(record, [picture.row for picture in pictures], data)
    except (HpsearchError, OSError) as error:
        return HardPictures(reason=f"The images can't be read here: {error}")
    if prepared is None or prepared.data_hash not in hashes:
        return HardPictures(
            reason="The images on this host differ from those that were trained on (another hash), "
            "so none is shown.",
        )

    def thumbnails(selection: Sequence[HardPicture]) -> list[Thumbnail]:
        return [
            Thumbnail(
                picture=picture,
                source=_png(prepared.images[picture.row].numpy()),
                name=names.get(picture.row),
            )
            for picture in selection
            if picture.row < len(prepared.images)
        ]

    return HardPictures(
        hardest=thumbnails(wrong_pictures.hardest),
        label_errors=thumbnails(wrong_pictures.label_errors[:MOST_LABEL_ERRORS]),
        names=names,
    )


def _prepare_images(
    record: StudyRecord, rows: Sequence[int], data: Path | None
) -> tuple[PreparedData | None, dict[int, str]]:
    """Return the images of the search (``None`` before a trial is complete), and rows' names."""
    from hpsearch import component_registries
    from hpsearch.results.ranking import best
    from hpsearch.study_file.loading import study_from_document
    from hpsearch.training.data.place import data_root
    from hpsearch.training.data.prepare import build_source, image_names, prepare

    study = study_from_document(
        record.study.document,
        component_registries.registries,
        text=record.study.text,
        where=f"stored study {record.study.name}",
    )
    winner = best(record)
    if winner is None:
        return None, {}
    config = study.trial_config(winner.params, ticket=winner.ticket)
    # A report must not download gigabytes: this raises if the source isn't here
    build_source(config.data, data_root(data), may_download=False)
    prepared = prepare(config.data, split_seed=config.split_seed, root=data)
    return prepared, image_names(config.data, rows, split_seed=config.split_seed, root=data)


def _png(pixels: NDArray[np.uint8]) -> str:
    """Return uint8 ``(channels, height, width)`` as a PNG of at most ``_THUMBNAIL`` pixels."""
    import numpy as np
    from PIL import Image

    channels: Any = pixels[:3] if pixels.shape[0] >= 3 else pixels[:1]
    array = np.moveaxis(channels, 0, -1) if channels.shape[0] == 3 else channels[0]
    image = Image.fromarray(np.ascontiguousarray(array))
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
