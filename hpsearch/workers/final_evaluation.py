"""The winner of a study on the test images."""

from __future__ import annotations

from pathlib import Path

import torch

from hpsearch.errors import UserError
from hpsearch.results.ranking import best
from hpsearch.results.records import StudyRecord
from hpsearch.results.test_openings import Opening, record_opening
from hpsearch.search.storage import Database
from hpsearch.study_file.study import StudyFile
from hpsearch.training.data.prepare import prepare
from hpsearch.training.final_test import evaluate_on_test
from hpsearch.workers.devices import resolve_devices, threads_per_worker
from hpsearch.workers.run_folder import RunFolder


def evaluate_winner(
    database: Database,
    record: StudyRecord,
    study: StudyFile,
    *,
    runs: Path,
    device: str,
    data: Path | None,
) -> Opening:
    """Evaluate the winner's kept weights on the test images, and record that they were opened.

    Raises ``UserError`` where trials are running (the winner may still change) or none is complete,
    and ``CheckpointError`` where the winner's weights aren't below ``runs``.
    """
    counts, name = record.counts, record.study.name
    if counts.running:
        raise UserError(
            "test images are opened once, after the search, but trials of study "
            f"{name!r} are running ({counts.running}); wait for its end, or run "
            f"`hpsearch stop --study {name}`"
        )
    winner = best(record)
    if winner is None or winner.number is None:
        raise UserError(
            f"only a complete trial can be evaluated, but study {name!r} has none "
            f"({counts.pruned} pruned, {counts.failed} failed); launch more trials"
        )
    kept = RunFolder(runs, name, record.study.run_key).load_best(winner.number)
    torch.set_num_threads(threads_per_worker(1))
    config = study.trial_config(winner.params, winner.ticket)
    where = resolve_devices(device)[0]
    found = evaluate_on_test(
        config, kept["weights"], epoch=kept["epoch"], device=where, data_root=data
    )
    prepared = prepare(config.data, split_seed=config.split_seed, root=data)
    opening = Opening(
        trial=winner.number,
        epoch=kept["epoch"],
        images=found.samples,
        loss=found.loss,
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
        balanced_accuracy=found.balanced_accuracy,
        class_names=list(prepared.class_names),
        confusion=found.confusion.tolist(),
    )
    record_opening(database, record.study.study_id, opening)
    return opening
