"""The home page: each search with its state, its winner and a thumbnail of its curves.

A study's card is on the home page, and with its note above optuna-dashboard's page of the study.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from threading import Lock
from typing import Any

import sqlalchemy as sa

from hpsearch.dashboard.notes import about_winner, commands, state_line, winner_line
from hpsearch.dashboard.study_view import StudyView, StudyViews
from hpsearch.errors import DamagedStudy
from hpsearch.foreign_text import clean
from hpsearch.metrics import MetricFormat
from hpsearch.reporting import palette
from hpsearch.results.planned import parent_of
from hpsearch.results.question import introduction
from hpsearch.results.records import TrialRecord
from hpsearch.results.winner import Winner, winner_of
from hpsearch.search.database.optuna_rows import STUDIES
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger import queries, studies

#: Curves of a thumbnail: the winner's, and those of the next in the ranking as a backdrop.
_CURVES = 8
#: Size and margin of a thumbnail, in pixels.
_WIDTH, _HEIGHT, _MARGIN = 180, 64, 4


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """The winner's learning curve in front of some others, as polylines of an SVG."""

    #: Points as in SVG's ``points``; the winner's last.
    lines: Sequence[str]
    #: The end of the winner's line, x and y.
    end: tuple[float, float]
    #: The content as a sentence.
    label: str
    width: int = _WIDTH
    height: int = _HEIGHT


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a page shows about one study. All text is plain."""

    name: str
    #: The paths of optuna-dashboard's page, and of the report.
    page: str
    report: str
    #: One word: finished, running, paused, damaged.
    state: str
    progress: str = ""
    #: The value of the winner, and its interval or what is missing; empty without a winner.
    value: str = ""
    interval: str = ""
    winner: str = ""
    thumbnail: Thumbnail | None = None
    #: Name and page of the newest confirmation; ``None`` without one.
    confirmation: tuple[str, str] | None = None
    description: str = ""
    warnings: Sequence[str] = ()
    #: What the winner's value is based on, and the commands to reproduce it.
    basis: str = ""
    commands: Sequence[str] = ()


class Home:
    """Renders the home page, and the head of a study's page. It is thread-safe."""

    def __init__(self, database: Database, views: StudyViews) -> None:
        self._database = database
        self._views = views
        self._lock = Lock()
        #: Name of a study -> the revision of its view, and its card.
        self._cards: dict[str, tuple[str, Card]] = {}

    def page(self) -> str:
        """Return the home page as HTML."""
        names = {study.name for study in studies.everything(self._database)}
        query = sa.select(STUDIES.c.study_id, STUDIES.c.study_name).order_by(STUDIES.c.study_id)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        reasons = studies.unusable(self._database)
        cards, others = [], []
        for study_id, name in rows:
            if name in reasons:
                cards.append(_damaged_card(name, study_id, reasons[name]))
            elif name not in names:
                others.append((clean(name), _page(study_id)))
            else:
                card = self._card_or_damage(name, study_id)
                if card is not None:
                    cards.append(card)
        return _render("home", cards=cards, others=others)

    def head(self, view: StudyView) -> str:
        """Return the head of a study's page as HTML: its card and its note."""
        return _render("study_head", card=self._card(view))

    def _card_or_damage(self, name: str, study_id: int) -> Card | None:
        """Return a search's card; ``None`` for a planned study, a part of its search."""
        try:
            view = self._views.of(name)
        except DamagedStudy as error:
            return _damaged_card(name, study_id, str(error))
        return None if parent_of(view.record.study) is not None else self._card(view)

    def _card(self, view: StudyView) -> Card:
        name = view.record.study.name
        with self._lock:
            cached = self._cards.get(name)
        if cached is not None and cached[0] == view.revision:
            return cached[1]
        card = self._build(view)
        with self._lock:
            self._cards[name] = view.revision, card
        return card

    def _build(self, view: StudyView) -> Card:
        record = view.record
        study = record.study
        parent = parent_of(study)
        winner = None if parent is not None else winner_of(record, view.verdict)
        confirmation: tuple[str, str] | None = None
        if view.confirmation is not None:
            stored = studies.find_or_none(self._database, view.confirmation)
            confirmation = None if stored is None else (stored.name, _page(stored.study_id))
        value, interval = _value(view, winner)
        gap = view.test_gap
        contradictions = [] if gap is None else [gap.headline, *gap.reasons]
        return Card(
            name=study.name,
            page=_page(study.study_id),
            report=f"/report/{study.name if parent is None else parent.search}",
            state=_state(view),
            progress=state_line(view),
            value=value,
            interval=interval,
            winner=winner_line(view),
            thumbnail=self._thumbnail(view, winner),
            confirmation=confirmation,
            description=introduction(study.document),
            warnings=[*contradictions, *(f"{warning}." for warning in record.warnings)],
            basis=about_winner(view),
            commands=[] if parent is not None else commands(view),
        )

    def _thumbnail(self, view: StudyView, winner: Winner | None) -> Thumbnail | None:
        record = view.record
        best = winner.trial if winner is not None else None
        if best is None:
            # Before a trial is complete: those with the most epochs
            candidates = [
                trial for trial in record.trials if trial.number is not None and trial.epochs_done
            ]
            candidates.sort(key=lambda trial: trial.epochs_done, reverse=True)
            trials = candidates[:_CURVES][::-1]
        else:
            order = sorted(view.rank, key=lambda number: view.rank[number])
            others = [number for number in order if number != best][: _CURVES - 1]
            by_number = {trial.number: trial for trial in record.trials}
            trials = [by_number[number] for number in (*reversed(others), best)]
        if not trials:
            return None
        tickets = [trial.ticket for trial in trials]
        curves = queries.curves(self._database, record.study.study_id, tickets)
        metric = record.objective.metric
        values = [
            [(epoch.epoch, epoch.value(metric)) for epoch in curves.get(ticket, [])]
            for ticket in tickets
        ]
        return thumbnail(values, trials[-1], metric)


def thumbnail(
    curves: Sequence[Sequence[tuple[int, float]]], trial: TrialRecord, metric: str
) -> Thumbnail | None:
    """Return the thumbnail of learning curves.

    Args:
        curves: Epoch and value of each curve; the last is that of ``trial``.
        trial: The trial in front.
        metric: The metric of the values.

    Returns:
        The thumbnail; ``None`` if the trial's curve has no finite value.
    """
    finite = [[(x, y) for x, y in curve if abs(y) < float("inf")] for curve in curves]
    front = finite[-1]
    if not front:
        return None
    xs, ys = ([point[side] for curve in finite for point in curve] for side in (0, 1))
    # A diverged trial in the backdrop must not flatten the others
    low, high = min(y for _, y in front), max(y for _, y in front)
    low, high = max(min(ys), 2 * low - high - 1e-9), min(max(ys), 2 * high - low + 1e-9)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - min(xs)) / ((max(xs) - min(xs)) or 1)
        up = (min(max(y, low), high) - low) / ((high - low) or 1)
        width, height = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN
        return round(_MARGIN + across * width, 1), round(_HEIGHT - _MARGIN - up * height, 1)

    places = [[place(x, y) for x, y in curve] for curve in finite if curve]
    form = MetricFormat(metric)
    return Thumbnail(
        lines=[" ".join(f"{x},{y}" for x, y in line) for line in places],
        end=places[-1][-1],
        label=f"{metric} of trial {trial.number}, epoch {front[0][0]} to {front[-1][0]}: "
        f"{form.value(front[0][1])} to {form.value(front[-1][1])}",
    )


def _page(study_id: int) -> str:
    return f"/dashboard/studies/{study_id}"


def _damaged_card(name: str, study_id: int, reason: str) -> Card:
    return Card(
        name=clean(name), page=_page(study_id), report="", state="damaged", warnings=[reason]
    )


def _state(view: StudyView) -> str:
    if view.record.is_finished:
        return "finished"
    running = any(trial.state is TicketState.RUNNING for trial in view.record.trials)
    return "running" if running else "not finished"


def _value(view: StudyView, winner: Winner | None) -> tuple[str, str]:
    """Return the winner's value and its interval, or what is missing for one."""
    if winner is None or view.record.goals.is_multi_objective:
        return "", ""
    form = MetricFormat(winner.metric)
    value = form.value(winner.value)
    if winner.interval is not None:
        return value, f"{winner.metric}, 95 %: {form.interval(winner.interval)}"
    return value, f"{winner.metric} of one seed, not confirmed: no interval"


def _render(name: str, **content: Any) -> str:
    from jinja2 import DictLoader, Environment, StrictUndefined

    folder = files("hpsearch.dashboard") / "templates"
    sources = {
        template: (folder / f"{template}.html.j2").read_text(encoding="utf-8")
        for template in ("home", "card", "study_head")
    }
    environment = Environment(
        loader=DictLoader(sources),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Names and descriptions come from outside
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    return environment.get_template(name).render(
        **content, style=(folder / "home.css").read_text(encoding="utf-8"), colours=palette
    )
