"""One claimed trial, on the worker that claimed it.

- ``trial_run``     configuring, training, and handling failures
- ``attempt``       the training of a configured trial: reports, checkpoints
- ``training_session``  a training that can be continued, of a trial or of a frozen config
- ``context``       everything that a worker needs to run trials
- ``build_plan``    how one configuration will be trained here
- ``lease_keeper``  the thread that renews a lease, and what stops a training loop
- ``run_folder``    checkpoints of a study on disk: names, fallback, retention
- ``disk_retry``    waiting for space on a full disk
- ``memory``        detecting and recording out-of-memory errors
- ``gpu_memory``    waiting for free GPU memory
- ``energy``        the energy that a GPU used for a trial
- ``tracked``       what trackers get of a trial
- ``planned``       what a worker needs of a plan: the configuration of a ticket, the next round
- ``deadline_watch``  what may begin before the study's deadline, and when to stop
- ``following``     the confirmation and the ablation that a worker stays for
- ``stop_rule``     the end of a search that has little left to gain
- ``same_images``  whether the images that are there now are those that a study's trials were
  trained on
"""
