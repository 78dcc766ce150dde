"""hpsearch on a GPU, in at most eight minutes: ``make gpu``, or ``python -m benchmarks.gpu``.

Each part runs in its own process with its own time limit; if one fails, the table shows it, and the
others continue. The table is written again after each part, as Markdown and as JSON.

parts      the parts: question, module and time limit
runner     the processes of the parts, their limits and results
table      the results as Markdown and JSON
settings   the settings of a part, and its answer
configs    the images and the small configurations of all parts
fetch      downloads images, before anything is timed
machine    the device, the latency of one image, the energy counter
parity     a GPU's accuracy against a CPU's with the same seeds
resume     an interrupted training against an uninterrupted one
precision  fp32 against bf16, and what the rule chooses
shortage   a real out-of-memory, and what the search records afterwards
workers    1 to 8 workers on one GPU, and the choice of ``--workers auto``
speed      an epoch against the reports' loop, bare steps, and CUDA graphs

With ``--device cpu`` everything but the CUDA graphs runs on a CPU.
"""
