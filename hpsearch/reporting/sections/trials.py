"""Every trial: the leaderboard, the curves, the course of the search, the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hpsearch.formatting import count_noun
from hpsearch.reporting.blocks import Block, Column, Section, Table, Text
from hpsearch.reporting.charts.history import history as history_chart
from hpsearch.reporting.charts.learning_curves import learning_curves
from hpsearch.reporting.charts.parallel import parallel
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import COMPUTE, Unit, cut, setting

#: Columns of the leaderboard on paper.
_ON_PAPER = 6

_NO_TRIAL = "No trial has begun."
_NO_EPOCH = "No trial has reported an epoch."


def leaderboard(content: StudyContent) -> Section:
    """Return all trials as one table, ranked ones first."""
    if not content.trials:
        return _empty("leaderboard", "Leaderboard", _NO_TRIAL)
    unit, names = content.unit, content.short_names
    ranks = {number: rank for rank, number in enumerate(content.ranked, start=1)}
    others = [name for name in content.objectives if name != content.metric]
    rows = [
        [
            str(row["number"]),
            str(ranks.get(row["number"], "")),
            str(row["state"]).replace("pruned", "stopped"),
            unit.value(row["value"]),
            *(Unit(name).value(row.get(name)) for name in others),
            str(row["epochs"]),
            COMPUTE.value(row["epoch_seconds"]),
            Unit("parameters").value(row["parameters"]),
            *(cut(setting(row.get(path))) for path in content.parameters),
        ]
        for row in content.trials
    ]
    columns = [
        Column(label="trial", numeric=True),
        Column(label="#", title="rank", numeric=True),
        Column(label="state"),
        Column(label=unit.name, numeric=True),
        *(Column(label=name, numeric=True) for name in others),
        Column(label="epochs", numeric=True),
        Column(label="epoch", title="median time of an epoch", numeric=True),
        Column(label="params", title="learned parameters", numeric=True),
        *(Column(label=names[path], title=path) for path in content.parameters),
    ]
    ranked = len(content.ranked)
    text = (
        "Only complete trials have a rank; a stopped one's value is from its last epoch. Each has "
        "one seed: neighbours in this list may change places with another seed."
    )
    if content.violators:
        numbers = ", ".join(map(str, content.violators))
        text += f" Without a rank because they break a constraint: trials {numbers}."
    return Section(
        name="leaderboard",
        title="Leaderboard",
        blocks=[
            Text(text=text, style="note"),
            Table(
                caption=f"{count_noun(len(rows), 'trial')}, {ranked} of them ranked",
                columns=_on_paper(columns, content),
                rows=rows,
                marked=frozenset(
                    place
                    for place, row in enumerate(content.trials)
                    if row["number"] == content.winner
                ),
                visible_rows=15,
                sortable=True,
            ),
        ],
    )


def _on_paper(columns: Sequence[Column], content: StudyContent) -> list[Column]:
    """Return the columns; on paper only a trial's results and its most important settings."""
    settings = len(columns) - len(content.parameters)
    by_importance = [settings + content.parameters.index(path) for path in _by_importance(content)]
    # Last the state, which the epochs show, and the costs
    *results, epochs, time, size = range(settings)
    results.remove(2)
    first = [*results, epochs, *by_importance, size, 2, time][:_ON_PAPER]
    return [replace(column, on_paper=place in first) for place, column in enumerate(columns)]


def curves(content: StudyContent) -> Section:
    """Return the learning curves."""
    chart = learning_curves(content)
    if chart is None:
        return _empty("curves", "Learning curves", _NO_EPOCH)
    return Section(name="curves", title="Learning curves", blocks=[chart])


def history(content: StudyContent) -> Section:
    """Return the best so far, against epochs and against time."""
    title = "How the search went"
    charts = [history_chart(content, "epochs"), history_chart(content, "seconds")]
    blocks: list[Block] = [chart for chart in charts if chart is not None]
    if not blocks:
        return _empty("history", title, "No trial has ended.")
    return Section(name="history", title=title, blocks=blocks)


def settings(content: StudyContent) -> Section:
    """Return all settings as parallel coordinates, the most important parameters first."""
    title = "Parallel coordinates"
    charts = parallel(content, _by_importance(content))
    if not charts:
        why = "This chart needs a searched parameter and two trials with a value."
        return _empty("parallel", title, why)
    return Section(name="parallel", title=title, blocks=charts)


def _by_importance(content: StudyContent) -> list[str]:
    shares = {
        importance.parameter: importance.share
        for group in content.importances.groups
        for importance in group.importances
    }
    always = {
        importance.parameter
        for group in content.importances.groups
        if not group.branch
        for importance in group.importances
    }
    return sorted(
        content.parameters, key=lambda path: (path not in always, -shares.get(path, -1.0))
    )


def _empty(name: str, title: str, why: str) -> Section:
    return Section(name=name, title=title, blocks=[Text(text=why)])
