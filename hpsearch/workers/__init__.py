"""Workers: processes that pull trials and train them. The only floor that knows both sides.

- ``launching``     what a launch is, what it will cost, and running it
- ``supervisor``    one launch: workers are started, replaced, packed, told to leave
- ``crew``          its local worker processes
- ``pulse``         a worker's sign of life for its supervisor
- ``packing``       how many workers share one GPU (``work_done``: what they get done)
- ``gpu_share``     whether there is room on a GPU for a trial
- ``worker``        one worker: claim, run, again
- ``trial_run``     one claimed trial: configure, train, and what its failure means
- ``confirmation``  confirming a search's winner: finalists, the study that trains them again
- ``confirm_plan``  what a worker of a confirmation asks of its plan
- ``attempt``       the training of a configured trial: reports, checkpoints
- ``bench``         what a worker holds in its hands
- ``memory``        running out of memory, and what is known about it afterwards
- ``room``          waiting for room on a full disk
- ``owners``        workers' names, and the host that they tell
- ``lease_keeper``  the thread that renews a lease, and what stops a training loop
- ``run_folder``    checkpoints of a study on disk: names, fallback, retention
- ``blueprint``     how one configuration will be trained here
- ``devices``       devices, threads and slots of this machine
- ``progress``      what a launch shows while it runs
- ``estimate``      hours and disk, before anything starts
- ``retraining``    training a frozen config outside any study; verifying it
- ``exporting``     files of a winner's trained model
- ``labelling``     pictures labelled by one
- ``final_evaluation``  the winner on the test images
- ``checkup``       what `hpsearch doctor` examines and mends
- ``preload``       what every worker process imports, once
"""
