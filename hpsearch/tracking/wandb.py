"""Weights & Biases: one run per trial, grouped by study, online or in files for `wandb sync`.

wandb buffers what it writes, some ten kilobytes at a time, so the offline folder of a killed worker
may contain any part of its epochs. The ledger has all of them: such a folder is removed, and the
epochs are written again. So a trial's offline runs are a folder per attempt, and a JSON file with
those that were closed.
"""

from __future__ import annotations

import configparser
import json
import netrc
import os
import shutil
import time
from collections.abc import Mapping
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Literal

from hpsearch.durable_files import write_file
from hpsearch.errors import UserError
from hpsearch.regular_file import open_regular
from hpsearch.tracking.tracker import (
    TRACKERS,
    RunState,
    TrackedTrial,
    require_package,
)

#: Timeout of opening a run; training doesn't wait for it.
_OPEN_SECONDS = 60.0

#: Settings that `wandb init` writes into a folder, except the server.
_HARMLESS = ("entity", "project", "mode")

#: Variables by which wandb gets its key.
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
        # wandb sends no reports of its own errors, unless the user wants it
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        os.environ.setdefault("WANDB_SILENT", "true")
        if self._mode == "online":
            _require_login()
            _require_own_server()
        self._run: Any = None
        self._offline: OfflineRun | None = None
        self._epoch = 0

    def begin(self, trial: TrackedTrial) -> int:
        """Open the run with the trial's own id, or continue it."""
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
            force=True,  # an error instead of a prompt, which a worker can't answer
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

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics at step ``epoch``."""
        # Committed at once: otherwise it waits for the next epoch, and is lost if the worker dies
        self._run.log({"epoch": epoch, **metrics}, step=epoch, commit=True)
        self._epoch = epoch

    def end(self, state: RunState, value: float | None) -> None:
        """Write state and value to the summary; a failed trial's run is marked as failed."""
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


def _require_own_server() -> None:
    """Raise ``UserError`` if settings in the current folder could send the key to another server.

    wandb reads a settings file there, and the folder may come from someone else. Only a few
    settings are harmless.
    """
    for file in (Path("wandb", "settings"), Path(".wandb", "settings")):
        for key, value in _settings_in(file).items():
            if key in _HARMLESS or (key == "base_url" and value.rstrip("/") == _server()):
                continue
            raise UserError(
                f"the tracker wandb also reads {file} in the current folder, which may set "
                f"{', '.join(_HARMLESS)} only, but it sets {key} to {value}: your API key could be "
                "sent there. Remove that line; put your own settings into a variable "
                "(WANDB_BASE_URL) or into ~/.config/wandb/settings"
            )


def _server() -> str:
    """Return the server of the user's own settings, without those of the current folder."""
    folder = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    own = _settings_in(folder / "settings").get("base_url") or "https://api.wandb.ai"
    return (os.environ.get("WANDB_BASE_URL") or own).rstrip("/")


def _settings_in(file: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with TextIOWrapper(open_regular(file), encoding="utf-8") as stream:
            parser.read_file(stream)
    except (OSError, ValueError, configparser.Error):  # wandb ignores such a file as well
        return {}
    return {
        **parser.defaults(),
        **{k: v for section in parser.sections() for k, v in parser[section].items()},
    }


def _require_login() -> None:
    """Raise ``UserError`` if there is no API key: a worker can't ask for one."""
    if any(os.environ.get(name) for name in _KEYS):
        return
    file = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        has_key = bool(netrc.netrc(file).hosts)
    except (OSError, netrc.NetrcParseError):
        has_key = False
    if not has_key:
        raise UserError(
            f"the tracker wandb needs an API key, but WANDB_API_KEY isn't set and {file} has none; "
            f"run `wandb login`, or write to files with `wandb: {{mode: offline}}`"
        )


class OfflineRun:
    """The offline folders of the run ``run_id`` below ``folder``."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._folder = folder / "wandb"
        self._run_id = run_id
        self._note = self._folder / f"{run_id}.json"
        #: The last epoch in the closed folders.
        self.epoch = 0
        self._closed: list[str] = []

    def prepare(self) -> None:
        """Remove folders that weren't closed, and wait until wandb uses a new folder name."""
        try:
            content = json.loads(self._note.read_text())
            self.epoch, self._closed = int(content["epoch"]), list(content["folders"])
        except (OSError, ValueError, KeyError, TypeError):
            self.epoch, self._closed = 0, []
        for path in self._folder.glob(f"offline-run-*-{self._run_id}"):
            if path.name not in self._closed:
                shutil.rmtree(path, ignore_errors=True)
        # The name contains the second; of two attempts in one second the later would be lost
        while (self._folder / _name_now(self._run_id)).exists():
            time.sleep(0.1)

    def note(self, name: str, epoch: int) -> None:
        """Record that the folder ``name`` was closed after ``epoch``."""
        self.epoch, self._closed = max(self.epoch, epoch), [*self._closed, name]
        write_file(self._note, json.dumps({"epoch": self.epoch, "folders": self._closed}))


def _name_now(run_id: str) -> str:
    return f"offline-run-{datetime.now():%Y%m%d_%H%M%S}-{run_id}"
