"""MLflow: one run per trial in an experiment, on a server, in a database or in a folder.

The default is a folder: it needs no setup. A new database needs seconds for its migrations, and may
be left half migrated.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from hpsearch.errors import UserError
from hpsearch.tracking.tracker import (
    TRACKERS,
    RunState,
    TrackedTrial,
    require_package,
)

#: MLflow's name of each state. A pruned trial didn't fail; it was stopped.
_STATUS = {
    "complete": "FINISHED",
    "pruned": "KILLED",
    "failed": "FAILED",
    "paused": "SCHEDULED",
}

#: The tag by which a trial's run is found again.
_RUN_ID = "hpsearch.run"

#: How long another worker of this host may take to look up the experiment.
_LOCK_SECONDS = 60.0

#: Characters that MLflow doesn't allow in names.
_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")


@TRACKERS.register("mlflow")
class Mlflow:
    """Runs in an experiment of MLflow; without `uri` in `mlruns` under the runs folder."""

    def __init__(self, *, uri: str | None = None, experiment: str | None = None) -> None:
        require_package("mlflow", "mlflow")
        self._uri = uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._experiment = experiment
        if uri is not None and urlsplit(uri).password is not None:
            raise UserError(
                "the tracker mlflow takes no password in its uri, because a study file is stored "
                "and shown; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        # mlflow reads both when it is imported; what the user has set is kept
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        if self._uri is None or urlsplit(self._uri).scheme in ("", "file"):
            # Without this MLflow refuses a folder
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        self._client: Any = None
        self._run: str | None = None
        self._metric = ""

    def begin(self, trial: TrackedTrial) -> int:
        """Open a run with the trial's own tag, or continue the one that has it."""
        runs = trial.folder.parent.parent
        runs.mkdir(parents=True, exist_ok=True)
        if self._client is None:
            from mlflow import MlflowClient

            uri = self._uri or (runs / "mlruns").absolute().as_uri()
            self._client = MlflowClient(tracking_uri=uri)
        # One experiment, even if several workers begin at the same time
        with FileLock(runs / ".mlflow.lock", timeout=_LOCK_SECONDS):
            experiment = self._experiment_id(self._experiment or trial.study)
        self._metric = trial.metric
        query = f"tags.`{_RUN_ID}` = '{trial.run_id}'"
        # Not for a new trial: in a folder, MLflow reads every run for this search
        if not trial.is_new and (
            matches := self._client.search_runs([experiment], query, max_results=1)
        ):
            self._run = matches[0].info.run_id
            self._client.update_run(self._run, "RUNNING")
            return self._last_epoch(matches[0])
        self._run = self._client.create_run(
            experiment,
            run_name=trial.name,
            tags={
                _RUN_ID: trial.run_id,
                "hpsearch.study": trial.study,
                "hpsearch.trial": str(trial.number),
                "hpsearch.kind": "confirmation" if trial.confirms else "search",
            },
        ).info.run_id
        for name, value in {**trial.params, **trial.facts}.items():
            self._client.log_param(self._run, _NOT_IN_NAMES.sub("_", name), value)
        return 0

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics at step ``epoch``."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(
            self._run, metrics=[Metric(name, value, now, epoch) for name, value in metrics.items()]
        )

    def end(self, state: RunState, value: float | None) -> None:
        """Set the state as tag and as MLflow's status, and an ended trial's value as a metric."""
        run, self._run = self._run, None
        if run is None:
            return
        if value is not None and state != "paused":
            self._client.log_metric(run, f"final_{self._metric}", value)
        self._client.set_tag(run, "hpsearch.state", state)
        if state == "paused":
            self._client.update_run(run, _STATUS[state])
        else:
            self._client.set_terminated(run, _STATUS[state])

    def close(self) -> None:
        """Do nothing: no connection is open."""

    def _experiment_id(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return str(self._client.create_experiment(name))
            except Exception:
                # A worker of another host may have created it meanwhile
                experiment = self._client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        return str(experiment.experiment_id)

    def _last_epoch(self, run: Any) -> int:
        """Return the last epoch that every metric of the run has."""
        names = [name for name in run.data.metrics if not name.startswith("final_")]
        return min(
            (
                max(
                    metric.step for metric in self._client.get_metric_history(run.info.run_id, name)
                )
                for name in names
            ),
            default=0,
        )
