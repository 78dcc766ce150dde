"""Real searches of hpsearch and of plain Optuna: what the test accuracy of the pick is over time.

    python -m benchmarks.real_searches --emoji FOLDER --keep searches.jsonl --plot searches.svg

300 epochs (30 whole trials of 10), 2 workers of one thread. Both search the same study file and
train with the same engine; a tool that ends trials early begins more of them. The pick is what each
tool has as its best at that moment: what ``status`` calls ahead, and Optuna's best complete trial.
When a search has ended, each configuration that was ever its pick is trained again in full with
fresh seeds; the mean accuracy on the test part is its truth.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.contestants import running
from hpsearch import component_registries
from hpsearch.errors import TrainingDiverged
from hpsearch.results.ranking import leader
from hpsearch.results.records import read_study
from hpsearch.search.database.schema_version import revision_of
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.study_file.loading import load_study
from hpsearch.study_file.space import Choice
from hpsearch.study_file.study import StudyFile
from hpsearch.training.engine import train
from hpsearch.training.evaluate_test_set import TrainedModel, evaluate_on_test

NAME = "real_search"

SPACE = """\
study: real_search
seed: {seed}
budget: {{trials: 1000, epochs_per_trial: {epochs}}}
model:
  dilated_cnn:
    conv1:
      channels: {{values: [16, 32]}}
      kernel_size: {{min: 2, max: 5}}
      dilation: {{min: 1, max: 2}}
    conv2:
      channels: {{values: [32, 64]}}
      kernel_size: {{min: 2, max: 5}}
  simple_cnn:
    conv1_channels: {{values: [8, 16, 32]}}
    conv2_channels: {{values: [16, 32, 64]}}
    activation: {{relu: , gelu: }}
  mlp:
    hidden: {{values: [[64], [256], [128, 64]]}}
    dropout: {{min: 0.0, max: 0.5}}
optimizer:
  sgd:
    lr: {{min: 1e-3, max: 1.0, log: true}}
    momentum: {{min: 0.0, max: 0.95}}
  adam:
    lr: {{min: 1e-5, max: 3e-2, log: true}}
batch_size: {{values: [16, 32, 64, 128]}}
"""

FASHION = "data: {{source: fashion_mnist, limit: 5000, validation: 0.2}}\n"

#: Images of one code point by several vendors stay on one side of every split.
EMOJI = """\
data:
  source:
    image_folder: {{path: {path}, group: '_([0-9a-f-]+)[.]', test_fraction: 0.15}}
  validation: 0.2
  input_size: 32
"""

OURS, THEIRS = "hpsearch, defaults", "Optuna TPE + Median"

#: The shares of a search's epochs at which picks are compared.
MARKS = (0.05, 0.1, 0.2, 0.5, 1.0)

#: A pick: the seconds and epochs at which it became the best, and its stored parameters.
Pick = tuple[float, int, dict[str, Any]]


def search_ours(file: Path, folder: Path, data: Path, whole: int) -> tuple[list[Pick], float, int]:
    """Run ``hpsearch launch`` until ``whole`` epochs are trained.

    Args:
        file: The study file; its seed is the search's.
        folder: An empty folder.
        data: The folder of prepared images.
        whole: Epochs of the search.

    Returns:
        The picks, the seconds, and the epochs of the search.
    """
    url = f"sqlite:///{folder}/hpsearch.db"
    command = [sys.executable, "-m", "hpsearch", "launch", "--study", str(file)]
    command += ["--storage", url, "--runs", str(folder / "runs"), "--data", str(data)]
    database = Database(url)

    def look() -> tuple[int, dict[str, Any] | None]:
        ready = (folder / "hpsearch.db").exists() and database.read(revision_of) is not None
        if not ready or studies.find_or_none(database, NAME) is None:
            return 0, None
        record = read_study(database, NAME)
        ahead = leader(record)
        epochs = sum(trial.epochs_done for trial in record.trials)
        return epochs, None if ahead is None else dict(ahead.params)

    try:
        return _watched([[*command, "--workers", "2"]], folder, look, whole)
    finally:
        database.close()


def search_theirs(
    file: Path, folder: Path, data: Path, whole: int
) -> tuple[list[Pick], float, int]:
    """Run two processes of plain Optuna, as ``search_ours``.

    Args:
        file: The study file; the seeds of Optuna's samplers follow from its seed.
        folder: An empty folder.
        data: The folder of prepared images.
        whole: Epochs of the search.

    Returns:
        The picks, the seconds, and the epochs of the search.
    """
    log = folder / "log.jsonl"
    log.touch()
    command = [sys.executable, "-m", "benchmarks.peers.study_optuna", "--study", str(file)]
    storage = f"sqlite:///{folder}/plain.db"
    # In Optuna 5.0, two processes that create the tables at the same time fail
    optuna.create_study(study_name="plain", storage=storage, direction="maximize")
    command += ["--storage", storage, "--data", str(data), "--log", str(log)]
    study = load_study(file, component_registries.registries)

    def look() -> tuple[int, dict[str, Any] | None]:
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        complete = [line for line in lines if line["epoch"] == study.budget.epochs_per_trial]
        best = max(complete, key=lambda line: float(line["value"]), default=None)
        return len(lines), None if best is None else best["params"]

    seeds = [1000 * study.seed, 1000 * study.seed + 1]
    return _watched([[*command, "--seed", str(seed)] for seed in seeds], folder, look, whole)


def _watched(
    commands: Sequence[list[str]],
    folder: Path,
    look: Callable[[], tuple[int, dict[str, Any] | None]],
    whole: int,
) -> tuple[list[Pick], float, int]:
    picks: list[Pick] = []
    began = time.monotonic()
    output, epochs = folder / "output.txt", 0
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with running(commands, output, environment) as is_running:
        while epochs < whole:
            if not is_running():
                raise RuntimeError(f"a search ended before its time:\n{output.read_text()}")
            time.sleep(0.5)
            epochs, params = look()
            if params is not None and (not picks or picks[-1][2] != params):
                picks.append((round(time.monotonic() - began, 1), epochs, params))
    return picks, round(time.monotonic() - began, 1), epochs


def truth_of(study: StudyFile, params: dict[str, Any], seeds: int, data: Path) -> float:
    """Return the mean test accuracy of a configuration that is trained in full, 0..1."""
    accuracies = []
    for seed in range(seeds):
        config = study.trial_config(params, ticket=100_000 + seed)
        try:
            for result in train(config, data_root=data):
                if result.last:
                    weights = result.state()["model"]
                    trained = TrainedModel(config=config, weights=weights, epoch=result.epoch)
                    (test,) = evaluate_on_test([trained], data_root=data).evaluations
                    accuracies.append(test.accuracy)
        except TrainingDiverged:
            accuracies.append(0.0)
    return float(np.mean(accuracies))


def truths_of(
    study: StudyFile, picks: Sequence[dict[str, Any]], seeds: int, data: Path
) -> list[float]:
    """Return each pick's true accuracy; a configuration with two picks is trained once."""
    truths: dict[str, float] = {}
    for params in picks:
        key = json.dumps(params, sort_keys=True)
        if key not in truths:
            truths[key] = truth_of(study, params, seeds, data)
    return [truths[json.dumps(params, sort_keys=True)] for params in picks]


def searches(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield every search, those of ``--keep`` first; the tools alternate for each seed."""
    previous: list[dict[str, Any]] = []
    if options.keep is not None and options.keep.exists():
        previous = [json.loads(line) for line in options.keep.read_text().splitlines()]
        yield from previous
    done = {(search["data"], search["tool"], search["seed"]) for search in previous}
    data_parts = {} if options.only == "emoji" else {"fashion": FASHION}
    if options.emoji is not None and options.only != "fashion":
        data_parts["emoji"] = EMOJI
    torch.set_num_threads(1)
    whole = options.trials * options.epochs
    tools = {OURS: search_ours, THEIRS: search_theirs}
    for seed, name, tool in product(range(options.seeds), data_parts, tools):
        if (name, tool, seed) in done:
            continue
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            file = folder / "study.yaml"
            file.write_text(
                (SPACE + data_parts[name]).format(
                    seed=seed, epochs=options.epochs,
                    path=options.emoji and options.emoji.resolve(),
                )
            )  # fmt: skip
            study = load_study(file, component_registries.registries)
            # Prepared before, so that no search's time includes it
            next(train(study.trial_config(_first(study), ticket=1), data_root=options.data))
            picks, seconds, epochs = tools[tool](file, folder, options.data, whole)
            truths = truths_of(study, [pick[2] for pick in picks], options.truths, options.data)
        search = {
            "data": name, "tool": tool, "seed": seed, "seconds": seconds, "epochs": epochs,
            "picks": picks, "truths": truths,
        }  # fmt: skip
        if options.keep is not None:
            with options.keep.open("a") as lines:
                lines.write(json.dumps(search) + "\n")
        yield search


def _first(study: StudyFile) -> dict[str, Any]:
    def low(path: str, what: Any) -> Any:
        return what.labels[0] if isinstance(what, Choice) else what.low

    return dict(study.space.draw(low).params)


def truth_at(search: dict[str, Any], mark: float, axis: int) -> float | None:
    """Return the true accuracy of the pick at ``mark`` seconds (``axis`` 0) or epochs (1)."""
    truths = [
        truth
        for pick, truth in zip(search["picks"], search["truths"], strict=True)
        if pick[axis] <= mark
    ]
    return truths[-1] if truths else None


def show(records: list[dict[str, Any]], whole: int) -> None:
    """Print the mean true accuracy of the picks, or "-" before there is a pick."""
    for name in dict.fromkeys(search["data"] for search in records):
        table = Table(title=f"{name}: test accuracy of the pick, by epochs trained")
        for column in ("", *(f"{mark * whole:.0f}" for mark in MARKS), "end", "epochs", "seconds"):
            table.add_column(column, justify="right" if column else "left")
        for tool in (OURS, THEIRS):
            tool_searches = [
                search for search in records if (search["data"], search["tool"]) == (name, tool)
            ]
            if not tool_searches:
                continue
            cells = []
            for mark in (*(mark * whole for mark in MARKS), float("inf")):
                values = [truth_at(search, mark, 1) for search in tool_searches]
                accuracies = [value for value in values if value is not None]
                few = (
                    ""
                    if len(accuracies) == len(tool_searches)
                    else f" ({len(accuracies)} of {len(tool_searches)})"
                )
                cells.append(f"{100 * np.mean(accuracies):.1f}{few}" if accuracies else "-")
            epochs = np.mean([search["epochs"] for search in tool_searches])
            seconds = np.median([search["seconds"] for search in tool_searches])
            table.add_row(tool, *cells, f"{epochs:.0f}", f"{seconds:.0f}")
        Console(width=120).print(table)


def save_plot(records: list[dict[str, Any]], path: Path) -> None:
    """Draw each search's pick over wall time and over epochs, and each tool's mean."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(search["data"] for search in records))
    size = (5 * len(names), 6.4)
    figure, axes = pyplot.subplots(2, len(names), figsize=size, squeeze=False)
    for column, name in enumerate(names):
        for row, (key, title) in enumerate((("seconds", "seconds"), ("epochs", "epochs trained"))):
            axis = axes[row][column]
            end = max(search[key] for search in records if search["data"] == name)
            for tool, color in ((OURS, "tab:blue"), (THEIRS, "tab:orange")):
                tool_searches = [
                    search for search in records if (search["data"], search["tool"]) == (name, tool)
                ]
                _draw(axis, tool_searches, row, end, color, tool)
            axis.set(title=name, xlabel=title, ylabel="test accuracy of the pick")
            axis.grid(alpha=0.3)
            axis.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path)


def _draw(
    axis: Any, mine: list[dict[str, Any]], which: int, end: float, color: str, label: str
) -> None:
    for search in mine:
        marks = [*(pick[which] for pick in search["picks"]), end]
        truths = [*search["truths"], search["truths"][-1]]
        axis.step(marks, truths, where="post", color=color, alpha=0.25, linewidth=0.8)
    grid = np.linspace(0, end, 200)
    rows = [[truth_at(search, mark, which) for search in mine] for mark in grid]
    # The mean starts when every search has a pick
    means = [np.nan if None in row else np.mean(np.array(row, dtype=float)) for row in rows]
    axis.plot(grid, means, color=color, linewidth=2, label=label)


def main() -> None:
    """Search, train the picks, print the results and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emoji", type=Path, help="a folder of images, a folder a class")
    parser.add_argument("--only", choices=("fashion", "emoji"), help="one of the two data sets")
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "real_searches")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--trials", type=int, default=30, help="whole trials that a search is worth"
    )
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--truths", type=int, default=2, help="fresh seeds of a pick's truth")
    parser.add_argument("--keep", type=Path, help="a file (JSON lines) to go on from")
    parser.add_argument("--plot", type=Path, help="an SVG file")
    options = parser.parse_args()
    records = []
    for search in searches(options):
        records.append(search)
        end = f"{search['truths'][-1]:.4f} after {search['epochs']} epochs"
        print(f"{search['data']}, {search['tool']}, seed {search['seed']}: {end}", flush=True)
    show(records, options.trials * options.epochs)
    if options.plot is not None:
        save_plot(records, options.plot)


if __name__ == "__main__":
    main()
