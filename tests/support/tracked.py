"""What stands in each tracker's files, read as its own tools read it."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: A study's own folder, its key and a trial's number lead to a run.


@dataclass
class Run:
    """One trial's run as a tracker has it."""

    #: Figure -> [(epoch, value)], in the order in which they stand there.
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    state: str | None = None
    value: float | None = None
    #: What else it says of itself.
    told: dict[str, Any] = field(default_factory=dict)


def read(tracker: str, folder: Path, number: int) -> Run:
    """Return a trial's run in ``tracker``; ``folder`` is the study's own below the runs root."""
    readers = {"tensorboard": read_tensorboard, "wandb": read_wandb, "mlflow": read_mlflow}
    return readers[tracker](folder, number)


def read_tensorboard(folder: Path, number: int) -> Run:
    """Return a trial as TensorBoard shows it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(
        str(folder / "tensorboard" / f"trial-{number:04d}"), size_guidance={"scalars": 0}
    )
    events.Reload()
    run = Run()
    for tag in events.Tags()["scalars"]:
        points = [(event.step, event.value) for event in events.Scalars(tag)]
        if tag.startswith("final/"):
            run.value = points[-1][1]
        else:
            run.curves[tag] = points
    if "state/text_summary" in events.Tags()["tensors"]:
        run.state = events.Tensors("state/text_summary")[-1].tensor_proto.string_val[0].decode()
    for content in events.summary_metadata.values():
        data = HParamsPluginData.FromString(content.plugin_data.content)
        for name, value in data.session_start_info.hparams.items():
            kind = value.WhichOneof("kind")
            run.config[name] = getattr(value, kind)
    return run


def read_wandb(folder: Path, number: int) -> Run:
    """Return a trial's run from the offline files of every attempt, oldest first."""
    import json

    run_id = f"{folder.name}-{number}"
    run = Run()
    run.told["ids"] = []
    for path in sorted(folder.glob(f"wandb/offline-run-*-{run_id}/run-{run_id}.wandb")):
        for record in _wandb_records(path.read_bytes()):
            match record.WhichOneof("record_type"):
                case "run":
                    run.told["ids"].append(record.run.run_id)
                    run.told |= {
                        "group": record.run.run_group,
                        "tags": list(record.run.tags),
                        "project": record.run.project,
                    }
                    for item in record.run.config.update:
                        run.config[item.key or ".".join(item.nested_key)] = json.loads(
                            item.value_json
                        )
                case "history":
                    items = {
                        item.key or ".".join(item.nested_key): json.loads(item.value_json)
                        for item in record.history.item
                    }
                    step = record.history.step.num
                    for name, value in items.items():
                        if not name.startswith("_") and name != "epoch":
                            run.curves.setdefault(name, []).append((step, value))
                case "summary":
                    for item in record.summary.update:
                        key = item.key or ".".join(item.nested_key)
                        if key == "state":
                            run.state = json.loads(item.value_json)
                        if key == "value":
                            run.value = json.loads(item.value_json)
                case "exit":
                    run.told["exit_code"] = record.exit.exit_code
    return run


#: Blocks of LevelDB's log format, in which wandb writes its records behind a header of its own.
_BLOCK, _HEADER, _WANDB_HEADER = 32_768, 7, 7
_FULL, _FIRST, _LAST = 1, 2, 4


def _wandb_records(data: bytes) -> list[Any]:
    from wandb.proto import wandb_internal_pb2

    assert data[:4] == b":W&B"
    records, at, part = [], _WANDB_HEADER, b""
    while at + _HEADER <= len(data):
        if _BLOCK - at % _BLOCK < _HEADER:
            at += _BLOCK - at % _BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + _HEADER])
        at += _HEADER
        chunk, at = data[at : at + length], at + length
        part = chunk if kind in (_FULL, _FIRST) else part + chunk
        if kind in (_FULL, _LAST):
            records.append(wandb_internal_pb2.Record.FromString(part))
    return records


def read_mlflow(folder: Path, number: int) -> Run:
    """Return a trial's run as MLflow's client reads it."""
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(folder.parent.parent / "mlruns").absolute().as_uri())
    experiments = [each.experiment_id for each in client.search_experiments()]
    (found,) = client.search_runs(
        experiments, f"tags.`hpsearch.run` = '{folder.name}-{number}'", max_results=10
    )
    run = Run(config=dict(found.data.params), state=found.data.tags.get("hpsearch.state"))
    run.told = {"status": found.info.status, "tags": dict(found.data.tags)}
    for name, value in found.data.metrics.items():
        if name.startswith("final_"):
            run.value = value
        else:
            history = client.get_metric_history(found.info.run_id, name)
            run.curves[name] = [(each.step, each.value) for each in history]
    return run
