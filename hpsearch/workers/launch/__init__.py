"""One launch, from its options to its end. Nothing that the launch itself runs imports torch.

- ``launching``    what a launch is, and running it
- ``preview``      what it will do and cost (``estimate``, ``timing``: hours and disk, measured)
- ``preflight``    reading and checking its study, which needs torch
- ``allocation``   which workers it begins with
- ``supervisor``   starts workers, replaces them, scales their number, tells them to leave
- ``worker_pool``  its local worker processes
- ``heartbeat``    a worker's sign of life for its supervisor
- ``autoscale``    how many workers share one GPU (``throughput``: how much work they do)
- ``progress``     what it shows while it runs
- ``fork_server``  the process that others are forked from (``preload``: what it imports, once)
- ``forked``       one process that is forked from it, and whether it is alive
- ``isolation``    work in a process of its own
"""
