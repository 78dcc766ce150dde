"""Weights & Biases: one run per trial, grouped by study, online or in files for `wandb sync`."""

from __future__ import annotations

import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from hpsearch.errors import UserError
from hpsearch.tracking.tracker import (
    TRACKERS,
    RunState,
    TrackedTrial,
    require_package,
)
from hpsearch.tracking.wandb_files import OfflineRun

#: Seconds until a run that can't be opened is given up; training doesn't wait for it.
_OPEN_SECONDS = 60.0

#: Variables by which wandb comes to its key.
_KEYS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")


@TRACKERS.register("wandb")
class WeightsAndBiases:
    """Runs in a project of Weights & Biases; `mode: offline` writes files alone."""

    def __init__(
        self,
        *,
        project: str = "hpsearch",
        entity: str | None = None,
        mode: Literal["online", "offline"] | None = None,
    ) -> None:
        require_package("wandb", "wandb")
        self._project, self._entity = project, entity
        self._mode = mode or os.environ.get("WANDB_MODE") or "online"
        # Reports of its own errors go nowhere, unless somebody asks for it
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        os.environ.setdefault("WANDB_SILENT", "true")
        if self._mode == "online":
            _require_login()
        self._run: Any = None
        self._offline: OfflineRun | None = None
        self._epoch = 0

    def begin(self, trial: TrackedTrial) -> int:
        """Open the run of the trial's own id, or go on with it."""
        import wandb

        trial.folder.mkdir(parents=True, exist_ok=True)
        self._offline = None
        if self._mode == "offline":
            self._offline = OfflineRun(trial.folder, trial.run_id)
            self._offline.prepare()
        self._run = wandb.init(
            project=self._project,
            entity=self._entity,
            mode=self._mode,  # type: ignore[arg-type]
            dir=trial.folder,
            id=trial.run_id,
            resume="allow",
            reinit="create_new",
            name=f"{trial.study} {trial.name}",
            group=trial.study,
            job_type="confirmation" if trial.confirms else "search",
            tags=[trial.study],
            config={**trial.params, **trial.facts},
            allow_val_change=True,
            force=True,  # rather an error than a question that nobody answers
            settings=wandb.Settings(
                silent=True,
                console="off",
                save_code=False,
                disable_git=True,
                disable_job_creation=True,
                init_timeout=_OPEN_SECONDS,
                x_disable_stats=True,
                x_disable_machine_info=True,
            ),
        )
        self._epoch = 0
        if self._offline is not None:
            return self._offline.epoch
        return max(0, int(self._run.starting_step) - 1)

    def log(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Log the figures at step ``epoch``."""
        # Committed at once: else it waits for the next epoch, and dies with the worker
        self._run.log({"epoch": epoch, **figures}, step=epoch, commit=True)
        self._epoch = epoch

    def end(self, state: RunState, value: float | None) -> None:
        """Put state and value into the summary; a failed trial's run is marked as failed."""
        run, self._run = self._run, None
        if run is None:
            return
        run.summary["state"] = state
        if value is not None and state != "paused":
            run.summary["value"] = value
        folder = Path(run.dir).parent.name
        run.finish(exit_code=1 if state == "failed" else 0)
        if self._offline is not None:
            self._offline.note(folder, self._epoch)

    def close(self) -> None:
        """End wandb's own process, which belongs to this worker."""
        import wandb

        wandb.teardown()


def _require_login() -> None:
    """Raise ``UserError`` where there can be no key: a worker can't ask for one."""
    if any(os.environ.get(name) for name in _KEYS):
        return
    file = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        known = bool(netrc.netrc(file).hosts)
    except (OSError, netrc.NetrcParseError):
        known = False
    if not known:
        raise UserError(
            "the tracker wandb must know an API key, but WANDB_API_KEY isn't set and "
            f"{file} has none; run `wandb login`, or track into files with `wandb: "
            "{mode: offline}`"
        )
