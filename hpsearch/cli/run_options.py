"""The options that ``launch`` and ``confirm`` share: how trials are run, whatever the study."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, get_type_hints

from hpsearch.cli.options import (
    DEFAULT_RUNS,
    DEFAULT_STORAGE,
    CheckpointOption,
    DataOption,
    DevicesOption,
    LeaseOption,
    RunsOption,
    StorageOption,
    TimeoutOption,
    WorkersOption,
    WorkersPerGpuOption,
    seconds,
)
from hpsearch.output_streams import optional_output

if TYPE_CHECKING:
    from hpsearch.workers.launch.launching import RunSettings

#: The parameter that stands for all of them in a command's signature.
_PARAMETER = "run"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What was typed; a command takes them by ``@takes_run_options``, as its parameter ``run``."""

    workers: WorkersOption = "1"
    devices: DevicesOption = "auto"
    workers_per_gpu: WorkersPerGpuOption = None
    timeout: TimeoutOption = None
    storage: StorageOption = DEFAULT_STORAGE
    runs: RunsOption = DEFAULT_RUNS
    data: DataOption = None
    lease: LeaseOption = 30.0
    checkpoint_interval: CheckpointOption = 30.0

    def settings(self) -> RunSettings:
        """Return them as a launch takes them."""
        from hpsearch.workers.launch.launching import RunSettings

        return RunSettings(
            storage=self.storage,
            workers=None if self.workers == "auto" else int(self.workers),
            devices=self.devices,
            workers_per_gpu=self.workers_per_gpu,
            timeout=None if self.timeout is None else seconds(self.timeout),
            lease_seconds=self.lease,
            checkpoint_seconds=self.checkpoint_interval,
            runs=self.runs,
            data=self.data,
        )


def takes_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command with a parameter ``run: RunOptions`` have each of them as an option.

    Typer makes an option of every parameter, so the command shows it one parameter per field in
    place of ``run``.
    """
    hints = get_type_hints(RunOptions, include_extras=True)
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(RunOptions)
    ]

    @functools.wraps(command)
    def with_run_options(**given: Any) -> None:
        own = {option.name: given.pop(option.name) for option in options}
        # What is trained is stored; a terminal that went away, or a full disk under a log, is no
        # reason to stop.
        with optional_output():
            command(**given, **{_PARAMETER: RunOptions(**own)})

    signature = inspect.signature(command, eval_str=True)
    shown: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        shown += options if parameter.name == _PARAMETER else [parameter]
    told: Any = with_run_options
    told.__signature__ = signature.replace(parameters=shown)
    told.__annotations__ = {each.name: each.annotation for each in shown}
    return with_run_options
