"""predict: which class pictures are of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import JsonOption, at_least_one
from hpsearch.cli.terminal.output import print_json, say, table
from hpsearch.formatting import count_noun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpsearch.workers.winner.labelling import Prediction


def predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="From `hpsearch export --bundle` or `hpsearch train --out`."
        ),
    ],
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURE...", help="Picture files, and folders of them.")
    ],
    top: Annotated[
        int,
        typer.Option(
            callback=at_least_one, help="The number of classes to print for each picture."
        ),
    ] = 1,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, mps, cuda:0, auto.")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Label pictures with a trained model.

    Pictures are decoded, resized and normalised as for training. If a picture is missing or
    damaged, its name is printed, the others are labelled, and the exit code is 2. Files in a folder
    without the ending of a picture are counted.

    \b
    hpsearch predict best/ photo.jpg
    hpsearch predict best/ photos/ --top 3 --json
    """
    from hpsearch.workers.winner.labelling import find_pictures, label, load_model

    classifier = load_model(model, device)
    picture_files = find_pictures(pictures)
    predictions = list(label(classifier, picture_files, top=top))
    bad = [prediction for prediction in predictions if prediction.problem is not None]
    if as_json:
        print_json([_as_json(prediction) for prediction in predictions])
    else:
        _print([prediction for prediction in predictions if prediction.problem is None], top)
    if picture_files.note:
        say(f"warning: {picture_files.note}", style="yellow", stderr=True)
    for prediction in bad:
        say(f"error: {prediction.problem}", stderr=True)
    if bad:
        say(
            f"{count_noun(len(bad), 'picture')} of {len(predictions):,} can't be labelled",
            style="bold",
            stderr=True,
        )
        raise typer.Exit(2)


def _print(predictions: Sequence[Prediction], top: int) -> None:
    rows = [
        (
            str(prediction.path),
            *(cell for name, share in prediction.classes for cell in (name, f"{share:.4f}")),
        )
        for prediction in predictions
    ]
    if not rows:
        return
    columns = ["picture"]
    for place in range(1, (len(rows[0]) - 1) // 2 + 1):
        columns += ["class" if top == 1 else f"class {place}", "probability"]
    table(columns, rows)


def _as_json(prediction: Prediction) -> dict[str, Any]:
    if prediction.problem is not None:
        return {"file": str(prediction.path), "error": prediction.problem}
    (name, share), *_ = prediction.classes
    return {
        "file": str(prediction.path),
        "class": name,
        "probability": share,
        "classes": [{"class": name, "probability": share} for name, share in prediction.classes],
    }
