"""hpsearch on a GPU, in at most eight minutes: ``make gpu``, or ``python -m benchmarks.gpu``.

Each part runs in a process of its own and has a time limit of its own; what goes wrong in one is
written down, and the others go on. The table is written anew after each part, as Markdown and as
JSON.

parts      what is asked, by whom, and how long it may take
runner     the processes, their limits, and what came of them
table      the results as Markdown and JSON
settings   how a part is run, and what it finds
configs    the pictures and the small configurations of all parts
fetch      pictures, before anything is timed
machine    what computes here, how long one image takes, what energy is known
parity     a GPU's accuracy against a CPU's, the same seeds
resume     a training that was interrupted against one that wasn't
precision  fp32 against bf16, and what the rule chooses
shortage   a real out-of-memory, and what the search knows afterwards
workers    1 to 8 workers on one GPU, and what ``--workers auto`` comes to
speed      an epoch against the reports' loop, bare steps, and CUDA graphs

With ``--device cpu`` everything but the CUDA graphs runs on a CPU.
"""
