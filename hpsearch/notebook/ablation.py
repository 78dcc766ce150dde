"""What each setting of the winner is worth, as an ablation measured it."""

from __future__ import annotations

from dataclasses import dataclass

from hpsearch.formatting import count_noun
from hpsearch.notebook import html
from hpsearch.results.ablation.stored import read_results
from hpsearch.results.ablation.summary import AblationSummary, fields_of
from hpsearch.results.records import StudyRecord
from hpsearch.search.database.storage import Database


@dataclass(frozen=True, kw_only=True)
class Ablation(AblationSummary):
    """One ablation of a study: the effects of changing one setting of a trial at a time."""

    def _repr_html_(self) -> str:
        unfinished = f"Not finished: {self.trainings} of {count_noun(self.planned, 'training')}."
        return html.page(
            html.title(f"{self.ablation}: {self.metric}, better by"),
            *([] if self.finished else [html.line(unfinished, "bad")]),
            *(html.line(effect.sentence) for effect in self.effects),
            *(html.line(sentence, "soft") for sentence in self.not_trained),
            html.line(self.note, "soft"),
        )


def ablations_of(database: Database, record: StudyRecord) -> list[Ablation]:
    """Return the ablations of a search, oldest first."""
    return [
        Ablation(**fields_of(name, result))
        for name, result in read_results(database, record.study.name)
    ]
