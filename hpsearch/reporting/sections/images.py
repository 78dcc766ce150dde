"""Classes that are mistaken for each other, probable label errors, and the hardest pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hpsearch.formatting import count_noun, format_percent
from hpsearch.metrics import CONFUSION_CLASSES, SHARE, MetricFormat
from hpsearch.reporting.analysis.matrices import Matrix, Versus
from hpsearch.reporting.analysis.pictures import (
    LARGEST_PROBABILITY,
    LEAST_TRAININGS,
    HardPicture,
)
from hpsearch.reporting.blocks import (
    Block,
    Chart,
    Charts,
    Column,
    Picture,
    Pictures,
    Section,
    Table,
    Text,
)
from hpsearch.reporting.charts.confusion import class_differences, confusion
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.hard_pictures import Thumbnail
from hpsearch.reporting.labels import Unit
from hpsearch.results.confirmation.statistics import Interval

#: Largest number of finalists that the winner is compared with class by class.
_COMPARED = 3

#: A difference of recalls whose interval is wider than this (1 is from -50 to +50 points) shows
#: nothing.
_WIDEST = 1.0


def classes(content: StudyContent) -> Section:
    """Return the winner's confusion matrix, and its lead over other finalists by class."""
    matrices, names = content.matrices, list(content.class_names)
    blocks: list[Block] = []
    test_chart = _test_chart(content)
    if matrices is not None and matrices.finalists:
        matrix = matrices.finalists[0]
        of = count_noun(matrix.trainings, "training")
        subject = f"trial {matrix.trial} on its validation images, {of}"
        blocks.append(_beside(confusion(matrix, names, subject=subject), test_chart))
        versus = [_informative(comparison) for comparison in matrices.versus[:_COMPARED]]
        charts = [
            chart for comparison in versus if (chart := class_differences(comparison)) is not None
        ]
        if charts:
            blocks.append(Charts(name="class-differences", charts=charts))
        if hidden := len(versus) - len(charts):
            blocks.append(
                Text(
                    text=f"Recall by class isn't compared with {count_noun(hidden, 'finalist')}: "
                    "the classes have too few images or seeds for it.",
                    style="note",
                )
            )
    elif content.own_matrix is not None and names:
        matrix = content.own_matrix
        subject = f"trial {matrix.trial} on its validation images, one training (the best seen)"
        blocks.append(_beside(confusion(matrix, names, subject=subject), test_chart))
    elif test_chart is not None:
        blocks.append(test_chart)
    else:
        blocks.append(
            Text(
                text="There is no confusion matrix: the search isn't confirmed, and the best trial "
                "stored none (there are too many classes, or no trial is complete)."
            )
        )
    if content.confirmed is not None and content.confirmed.verdict.per_class:
        blocks.append(_per_class(content))
    for evaluation in content.test[:1]:
        accuracy = Unit("val_accuracy")
        blocks.append(
            Text(
                text=f"Test images were opened {count_noun(len(content.test), 'time')}. In the "
                f"first evaluation, trial {evaluation.trial} had a test accuracy of "
                f"{accuracy.value(evaluation.accuracy)} of {evaluation.sample} (95 % over "
                f"{evaluation.over}: {accuracy.interval(evaluation.interval)}); only the first "
                "evaluation is a test."
            )
        )
    if not content.test:
        blocks.append(Text(text="The test images have not been opened.", style="note"))
    return Section(name="classes", title="Classes", blocks=blocks)


def _test_chart(content: StudyContent) -> Chart | None:
    """Return the matrix of the test images; ``None`` if they weren't opened, or are unreadable."""
    for first in content.test[:1]:
        if 0 < len(first.confusion) <= CONFUSION_CLASSES:
            matrix = Matrix(trial=first.trial, trainings=first.models, counts=first.confusion)
            subject = f"trial {first.trial} on the test images, {count_noun(first.models, 'model')}"
            return confusion(matrix, first.class_names, subject=subject, name="confusion-test")
    return None


def _beside(validation: Chart, test: Chart | None) -> Chart | Charts:
    return validation if test is None else Charts(name="confusion", charts=[validation, test])


def _informative(versus: Versus) -> Versus:
    """Return a comparison without the classes whose interval shows nothing.

    Without all of them if that is more than half: the rest would look like the whole.
    """
    narrow = [
        difference
        for difference in versus.classes
        if difference.ahead is not None and difference.ahead.high - difference.ahead.low < _WIDEST
    ]
    return replace(versus, classes=tuple(narrow) if 2 * len(narrow) >= len(versus.classes) else ())


def _per_class(content: StudyContent) -> Table:
    verdict = content.confirmed.verdict if content.confirmed is not None else None
    return Table(
        caption="The winner's classes, over all its fresh seeds"
        + ("" if verdict is None else f"; intervals over seeds and {verdict.other_images}"),
        columns=[
            Column(label="class"),
            Column(label="images", numeric=True),
            Column(label="recall", numeric=True),
            Column(label="95 % of recall", numeric=True),
            Column(label="precision", numeric=True),
            Column(label="F1", numeric=True),
        ],
        rows=[
            [
                class_metrics.name,
                f"{class_metrics.images:,}",
                SHARE.value(class_metrics.recall),
                _interval(class_metrics.recall_interval),
                SHARE.value(class_metrics.precision),
                SHARE.value(class_metrics.f1),
            ]
            for class_metrics in (verdict.per_class if verdict is not None else ())
        ],
        sortable=True,
    )


def _interval(interval: Interval | None) -> str:
    return SHARE.interval(None if interval is None else (interval.low, interval.high))


def label_errors(content: StudyContent) -> Section:
    """Return the pictures whose label is probably wrong."""
    wrong_pictures = content.matrices.pictures if content.matrices is not None else None
    blocks: list[Block] = []
    if wrong_pictures is None:
        reason = content.pictures.reason or ""
        blocks.append(Text(text=reason.replace("hard pictures", "label errors", 1)))
    elif not wrong_pictures.label_errors:
        blocks.append(
            Text(
                text="None was found among "
                f"{count_noun(wrong_pictures.judged, 'validation image')} that at least "
                f"{LEAST_TRAININGS} trainings predicted."
            )
        )
    else:
        many = len(wrong_pictures.label_errors)
        blocks.append(
            Text(
                text=f"Of {count_noun(wrong_pictures.judged, 'validation image')} that at least "
                f"{LEAST_TRAININGS} trainings of the confirmation predicted, {many:,} "
                f"{'is' if many == 1 else 'are'} called the same other class by all of them, with "
                f"a probability of the label of at most {format_percent(LARGEST_PROBABILITY)}. "
                "No model was trained on the pictures that it predicted. Look at each: the label "
                "may be wrong, or the picture very unusual. label_errors.csv lists all.",
                style="note",
            )
        )
        thumbnails = content.pictures.label_errors
        if thumbnails:
            blocks.append(_pictures(thumbnails, errors=True))
        if len(thumbnails) < many:
            blocks.append(
                _table(
                    wrong_pictures.label_errors[len(thumbnails) :], content, "Further label errors"
                )
            )
    return Section(name="label-errors", title="Probable label errors", blocks=blocks)


def hardest(content: StudyContent) -> Section:
    """Return the validation images that most trainings get wrong."""
    pictures, blocks = content.pictures, list[Block]()
    hardest_pictures = content.matrices.pictures.hardest if content.matrices is not None else ()
    if pictures.hardest:
        blocks.append(
            Text(
                text="The other validation images that the trainings of the confirmation predicted "
                "wrong most often. Some are hard; a few may have a wrong label.",
                style="note",
            )
        )
        blocks.append(_pictures(pictures.hardest, errors=False))
    if pictures.reason is not None:
        blocks.append(Text(text=pictures.reason))
    elif not hardest_pictures:
        blocks.append(Text(text="There is no other picture that trainings got wrong."))
    if hardest_pictures and not pictures.hardest:
        blocks.append(_table(hardest_pictures, content, "The hardest pictures"))
    return Section(name="hardest", title="Hardest pictures", blocks=blocks)


def _pictures(thumbnails: Sequence[Thumbnail], *, errors: bool) -> Pictures:
    return Pictures(pictures=[_picture(thumbnail, error=errors) for thumbnail in thumbnails])


def _picture(thumbnail: Thumbnail, *, error: bool) -> Picture:
    name, picture = _name(thumbnail), thumbnail.picture
    if error:
        lines = [
            f"label: {picture.truth} ({SHARE.value(picture.probability)})",
            f"all {picture.trainings} trainings: {picture.taken_for}",
        ]
    else:
        lines = [
            f"{picture.truth}; wrong in {picture.wrong} of {picture.trainings} trainings",
            f"guesses: {_guesses(picture)}",
        ]
    return Picture(
        source=thumbnail.source,
        alt=f"{name}: a {picture.truth}, predicted as {picture.taken_for}",
        lines=[name, *lines],
    )


def _name(thumbnail: Thumbnail) -> str:
    return thumbnail.name or f"row {thumbnail.picture.row}"


def _guesses(picture: HardPicture) -> str:
    return ", ".join(f"{name} {times}" for name, times in picture.guesses)


def _table(pictures: Sequence[HardPicture], content: StudyContent, caption: str) -> Table:
    names = content.pictures.names
    return Table(
        caption=caption,
        columns=[
            Column(label="picture", title="its file, or its row in the prepared data"),
            Column(label="wrong in", numeric=True),
            Column(label="loss", title="mean cross-entropy", numeric=True),
            Column(label="class"),
            Column(label="guesses", title="predicted classes and their trainings"),
        ],
        rows=[
            [
                names.get(picture.row) or f"row {picture.row}",
                f"{picture.wrong} of {picture.trainings}",
                MetricFormat("val_loss").value(picture.loss),
                picture.truth,
                _guesses(picture),
            ]
            for picture in pictures
        ],
    )
