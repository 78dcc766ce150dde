"""The options that ``launch`` and ``confirm`` share: how trials are run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

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
from hpsearch.workers.run_config import RunConfig

#: The parameter that is replaced by these options in a command's signature.
_PARAMETER = "run"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The typed options; with ``@takes_run_options`` a command gets them as parameter ``run``."""

    workers: WorkersOption = str(RunConfig.workers)
    devices: DevicesOption = RunConfig.devices
    workers_per_gpu: WorkersPerGpuOption = None
    timeout: TimeoutOption = None
    storage: StorageOption = DEFAULT_STORAGE
    runs: RunsOption = DEFAULT_RUNS
    data: DataOption = None
    lease: LeaseOption = RunConfig.lease_seconds
    checkpoint_interval: CheckpointOption = RunConfig.checkpoint_seconds

    def config(self) -> RunConfig:
        """Convert them to the options of a run."""
        return RunConfig(
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
    """Decorate a command with a parameter ``run: RunOptions`` so that each field is an option.

    Typer makes an option of every parameter, so the new signature has one parameter per field
    instead of ``run``.
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
    def with_run_options(**arguments: Any) -> None:
        values = {option.name: arguments.pop(option.name) for option in options}
        # The results are stored, so a closed terminal or a full disk of a log doesn't end the run.
        with optional_output():
            command(**arguments, **{_PARAMETER: RunOptions(**values)})

    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += options if parameter.name == _PARAMETER else [parameter]
    wrapper: Any = with_run_options
    wrapper.__signature__ = signature.replace(parameters=parameters)
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_run_options
