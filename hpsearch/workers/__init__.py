"""Workers: processes that pull trials and train them. The only floor that knows both sides.

- ``launching``     what a launch is, what it will cost, and running it
- ``supervisor``    local worker processes: starting, watching, replacing, stopping
- ``worker``        one worker: claim, run, again
- ``trial_run``     one claimed trial: configure, train, report, release
- ``lease_keeper``  the thread that renews a lease, and what stops a training loop
- ``run_folder``    checkpoints of a study on disk: names, fallback, retention
- ``blueprint``     how one configuration will be trained here
- ``devices``       devices, threads and slots of this machine
- ``progress``      what a launch shows while it runs
- ``estimate``      hours and disk, before anything starts
- ``single``        training one frozen config
- ``bench``         what a worker holds in its hands
- ``attempt``       one attempt at a trial: training, reports, checkpoints
- ``memory``        running out of memory: telling it, measuring it
- ``room``          a full disk is waited for
- ``pulse``         a worker's sign of life for its supervisor
- ``checkup``       what `hpsearch doctor` examines and mends
- ``preload``       what every worker process imports, once
"""
