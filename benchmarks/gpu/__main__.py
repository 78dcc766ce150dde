"""Ask a GPU what hpsearch does on it: ``python -m benchmarks.gpu``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.parts import FETCH, PARTS, Part
from benchmarks.gpu.runner import Answer, run_parts
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.table import write

#: Most minutes of all parts together.
MINUTES = 8.0

#: Verdicts that mean that something must be fixed.
BAD = ("wrong", "failed", "out of time", "not begun")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts, write the table after each, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="auto", help="auto: the first GPU; cuda:1; cpu")
    parser.add_argument("--quick", action="store_true", help="test the way: little of everything")
    parser.add_argument("--only", default="", help="parts, separated by commas")
    parser.add_argument("--out", type=Path, default=Path("gpu-report"), help="folder of the table")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for all of it")
    options = parser.parse_args(arguments)
    parts = _select(options.only, parser)
    device = options.device if options.device != "auto" else _first_gpu()
    if device is None:
        print(_plan(parts))
        return 0
    print(f"hpsearch on {device}, at most {options.minutes:g} minutes\n", flush=True)

    def heed(answers: list[Answer]) -> None:
        last = answers[-1]
        print(f"{last.part}: {last.verdict} ({last.seconds:.0f} s). {last.said}", flush=True)
        write(options.out, answers, device=device, quick=options.quick)

    answers = run_parts(
        parts if options.quick else [FETCH, *parts],
        settings=Settings(device=device, quick=options.quick),
        seconds=60 * options.minutes,
        heed=heed,
    )
    page, data = write(options.out, answers, device=device, quick=options.quick)
    print(
        f"\n{page} and {data} hold all of it. Please open an issue with the table: we have no GPU."
    )
    return int(any(answer.verdict in BAD for answer in answers if answer.part != FETCH.name))


def _select(names: str, parser: argparse.ArgumentParser) -> list[Part]:
    parts_by_name = {part.name: part for part in PARTS}
    selection = [name.strip() for name in names.split(",") if name.strip()] or list(parts_by_name)
    unknown = [name for name in selection if name not in parts_by_name]
    if unknown:
        parser.error(
            f"no part is called {', '.join(unknown)}; there are {', '.join(parts_by_name)}"
        )
    return [parts_by_name[name] for name in selection]


def _first_gpu() -> str | None:
    import torch

    return "cuda:0" if torch.cuda.is_available() else None


def _plan(parts: Sequence[Part]) -> str:
    all_parts = [FETCH, *parts]
    lines = [
        "There is no CUDA GPU here (or PyTorch doesn't see it). On one, this would take at most "
        f"{sum(part.seconds for part in all_parts) / 60:.0f} minutes:",
        "",
        *(f"  {part.name:<10} {part.asks} (at most {part.seconds:.0f} s)" for part in all_parts),
        "",
        "`--device cpu --quick` runs the same on the CPU, to test the way.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
