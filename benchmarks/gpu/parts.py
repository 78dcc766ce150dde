"""The parts: question, module and time limit of each; eight minutes together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part, which answers one question."""

    name: str
    #: What it does, for readers without a GPU.
    asks: str
    #: The module whose ``measure(settings)`` answers it.
    module: str
    #: Seconds after which its process is killed; the answer is then "out of time".
    seconds: float


#: The first part. If it fails, the others use images that need no download.
FETCH = Part(
    name="fetch",
    asks="download and prepare Fashion-MNIST (30 MB, once); else digits are taken",
    module="benchmarks.gpu.fetch",
    seconds=40,
)

PARTS = (
    Part(
        name="machine",
        asks="name the GPU and its versions; one image's latency; the energy of some epochs",
        module="benchmarks.gpu.machine",
        seconds=30,
    ),
    Part(
        name="parity",
        asks="train two models with four seeds on CPU and GPU: equal up to seed noise?",
        module="benchmarks.gpu.parity",
        seconds=70,
    ),
    Part(
        name="resume",
        asks="interrupt amid an epoch and go on, here and across to the CPU: bit-exact, or how far "
        "off?",
        module="benchmarks.gpu.resume",
        seconds=40,
    ),
    Part(
        name="precision",
        asks="time steps of twelve models and batch sizes in fp32 and bf16: does the rule choose "
        "right?",
        module="benchmarks.gpu.precision",
        seconds=40,
    ),
    Part(
        name="shortage",
        asks="search with a trial that wants more memory than there is: is it known as infeasible?",
        module="benchmarks.gpu.shortage",
        seconds=45,
    ),
    Part(
        name="workers",
        asks="1, 2, 4 and 8 workers on one GPU, then `--workers auto`: how much gets done?",
        module="benchmarks.gpu.workers",
        seconds=140,
    ),
    Part(
        name="speed",
        asks="an epoch against the reports' loop, bare steps, and bare steps in CUDA graphs",
        module="benchmarks.gpu.speed",
        seconds=75,
    ),
)
