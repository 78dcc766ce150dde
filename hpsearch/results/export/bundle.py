"""The folder that ``predict`` reads: frozen config, weights, model card, class names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from hpsearch import component_registries
from hpsearch.durable_files import write_file
from hpsearch.errors import CheckpointError, UserError
from hpsearch.results.export.card import ModelFiles
from hpsearch.results.export.card_metrics import Judgement
from hpsearch.results.export.matrix_picture import matrix_picture
from hpsearch.study_file.loading import load_study
from hpsearch.study_file.study import StudyFile
from hpsearch.training.classifier import Classifier
from hpsearch.training.formats.safetensors_file import read_weights, write_weights
from hpsearch.training.state import fingerprint

CONFIG, WEIGHTS, CARD, CLASSES = "best.yaml", "weights.safetensors", "card.md", "classes.txt"
#: The picture of the confusion matrix.
MATRIX = "confusion.png"


def refuse_to_replace(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Check that no file would be replaced, before any work is done.

    Raises:
        UserError: If one of the files exists, unless ``overwrite``.
    """
    for path in paths:
        if path.exists() and not overwrite:
            raise UserError(
                f"an export must not replace a file by accident, but {path} exists; choose another "
                "path, or add --force"
            )


def write_content(path: Path, content: str | bytes) -> None:
    """Write a file completely or not at all.

    Raises:
        UserError: If its folder is missing, or it can't be written.
    """
    if not path.parent.is_dir():
        raise UserError(f"{path} can't be written: No such file or directory")
    try:
        write_file(path, content)
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror or error}") from error


def files_of(folder: Path) -> list[Path]:
    """Return the files of a bundle; it has no picture of a matrix if no image was validated."""
    return [folder / name for name in (CONFIG, WEIGHTS, CARD, CLASSES, MATRIX)]


def write_bundle(
    folder: Path,
    classifier: Classifier,
    judgement: Judgement | None,
    *,
    config: str,
    card: Callable[[ModelFiles], str],
) -> None:
    """Write a bundle.

    The frozen config is written last: if it exists, the bundle is complete.

    Args:
        folder: The bundle's folder, created if it is missing.
        classifier: The model.
        judgement: The confusion matrix that the card shows; ``None`` without one.
        config: Text of the frozen config.
        card: Returns the text of the model card, given the files beside it.

    Raises:
        UserError: If a file can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / WEIGHTS, classifier.model.state_dict(), classifier.signature)
    names = classifier.signature.class_names
    if judgement is None:
        (folder / MATRIX).unlink(missing_ok=True)  # an earlier model's
    else:
        write_content(folder / MATRIX, matrix_picture(judgement.confusion, names))
    beside = ModelFiles(folder=folder.resolve().name, matrix=None if judgement is None else MATRIX)
    write_content(folder / CARD, card(beside))
    write_content(folder / CLASSES, "".join(f"{name}\n" for name in names))
    write_content(folder / CONFIG, config)


def read_bundle(folder: Path, *, device: str = "cpu") -> tuple[StudyFile, Classifier]:
    """Return a bundle's frozen config and its model, without the training data.

    The weights run no code; plug-ins that the config names do.

    Args:
        folder: The bundle's folder.
        device: The device of the model.

    Raises:
        CheckpointError: If the weights are missing, damaged or of another model.
        UserError: If there is no config, it has errors, or it has ranges.
    """
    if not (folder / CONFIG).is_file():
        what = f"has no {CONFIG}" if folder.is_dir() else "isn't a folder"
        raise UserError(
            f"a model is a folder with {CONFIG} and {WEIGHTS}, but {folder} {what}; make one with "
            "`hpsearch export --bundle FOLDER` or `hpsearch train best.yaml --out FOLDER`"
        )
    study = load_study(folder / CONFIG, component_registries.registries)
    if not study.is_frozen:
        raise UserError(f"a model's config has no ranges, but {folder / CONFIG} has some")
    weights, signature = read_weights(folder / WEIGHTS)
    config = study.trial_config({}, ticket=1)
    if fingerprint(config.model) != signature.model:
        raise CheckpointError(
            f"{folder / WEIGHTS} must be the weights of the model in {folder / CONFIG}, but they "
            "are of another one; export or train it again"
        )
    return study, Classifier(config, signature, weights, device)
