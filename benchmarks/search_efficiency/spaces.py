"""What is recorded: three studies (``studies/*.yaml``), and how much of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpsearch import catalog
from hpsearch.study_file.loading import load_study
from hpsearch.study_file.study import StudyFile

STUDIES = Path(__file__).parent / "studies"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One table."""

    name: str
    #: Configurations spread evenly over the space, and those that TPE then proposed from them.
    spread: int
    proposed: int
    #: Trainings of a repeated configuration, the first one included.
    seeds: int = 3
    #: A search's budget, in whole trainings of average length that one worker could do in it: so
    #: many that pruning searches use about half of the table.
    budget: int
    #: What is guessed right by chance.
    chance: float

    def study(self, overrides: Sequence[str] = (), *, data: Path | None = None) -> StudyFile:
        """Return the study, ``data`` being its pictures' file where it names one."""
        changes = [*overrides]
        if data is not None and self.name == "emoji":
            changes.append(f"data.source.pickled_dict.path={data}")
        return load_study(STUDIES / f"{self.name}.yaml", catalog.registries, overrides=changes)


TABLES: Mapping[str, Recorded] = {
    each.name: each
    for each in (
        Recorded(name="small", spread=140, proposed=40, budget=16, chance=0.1),
        Recorded(name="emoji", spread=90, proposed=30, seeds=2, budget=12, chance=0.2),
        Recorded(name="fashion", spread=34, proposed=12, seeds=2, budget=6, chance=0.1),
    )
}
