"""One claimed trial, on the worker that claimed it.

- ``trial_run``     configure, train, and what its failure means
- ``attempt``       the training of a configured trial: reports, checkpoints
- ``context``       what a worker holds in its hands
- ``build_plan``    how one configuration will be trained here
- ``lease_keeper``  the thread that renews a lease, and what stops a training loop
- ``run_folder``    checkpoints of a study on disk: names, fallback, retention
- ``disk_retry``    waiting for room on a full disk
- ``memory``        running out of memory, and what is known about it afterwards
- ``gpu_memory``    whether there is room on a GPU for a trial
"""
