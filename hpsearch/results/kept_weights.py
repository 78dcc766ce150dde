"""Which trials' weights stay on disk."""

from __future__ import annotations

from hpsearch.results.ablation.stored import ablated_search
from hpsearch.results.confirmation.stored import is_confirmation, kept_trainings
from hpsearch.results.ranking import KEPT_WEIGHTS, front, knee, objective_costs
from hpsearch.results.records import StudyRecord, TrialRecord


def weights_kept(record: StudyRecord) -> list[TrialRecord]:
    """Return the trials whose best weights stay on disk: the winner, or the front.

    If a front has more than ``KEPT_WEIGHTS`` points, the best by each objective and the knee stay,
    and evenly spaced others in the order of the front. For a confirmation: its winner's trainings.
    An ablation keeps none: nothing of it is exported.
    """
    if is_confirmation(record.study):
        return kept_trainings(record)
    if ablated_search(record.study) is not None:
        return []
    points = front(record)
    if len(points) <= KEPT_WEIGHTS:
        return points
    costs = objective_costs(record, points)
    places = dict.fromkeys(int(place) for place in costs.argmin(axis=0))
    nearest = knee(record)
    if nearest is not None:
        places[points.index(nearest)] = None
    rest = [place for place in range(len(points)) if place not in places]
    free = KEPT_WEIGHTS - len(places)
    places.update(dict.fromkeys(rest[index * len(rest) // free] for index in range(free)))
    return [points[place] for place in sorted(places)]
