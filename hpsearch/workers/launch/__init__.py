"""One launch, from its options to its end. Nothing that the launch itself runs imports torch.

- ``launching``    what a launch is, and running it
- ``preview``      what it will do and cost
- ``preflight``    reading and checking its study, which needs torch
- ``allocation``   which workers it begins with
- ``supervisor``   starts workers, replaces them, scales their number, tells them to leave
- ``worker_pool``  its local worker processes
- ``heartbeat``    a worker's sign of life for its supervisor
- ``autoscale``    how many workers share one GPU, by the work that they do
- ``progress``     what it shows while it runs
- ``fork_server``  the process that others are forked from
- ``forked``       one process that is forked from it, and whether it is alive
- ``isolation``    work in a process of its own
- ``estimate``  hours and disk space of a study, from a few batches of training of a few
  configurations
- ``preload``  what every worker process imports; the fork server imports it once for all of them
- ``probe``  training a sample of a study's configurations for a moment, to see how long all will
  take
- ``timing``  how long trainings will take, from training some of them for a moment on this machine
"""
