"""Workers: processes that claim trials and train them, so they use both search and training.

- ``launch``          one launch: what it will cost, its supervisor, its pool of local processes
- ``worker``          one worker: claim, run, again
- ``run_config``      the options of a run and of a worker, with all defaults
- ``trial``           one claimed trial: its configuration, its training, its files, its lease
- ``planned_study``   what confirmations and ablations have in common: their studies, their runs
- ``ablation``        one setting of a trial changed at a time, with fresh seeds
- ``confirmation``    confirming a search's winner with fresh seeds
- ``winner``          what is done with a winner: test images, files of its model, labels
- ``retraining``      training a frozen config outside any study; verifying it
- ``copying``         copying studies to another database
- ``deleting``        deleting a stored study, its confirmations and its files
- ``checkup``         what `hpsearch doctor` examines and repairs
- ``runs_place``      where checkpoints are: a folder, or a bucket by its URL
- ``devices``         devices and slots of this machine
- ``owners``          workers' names, and the host that they contain
- ``gpu``  CUDA in a process that trains: opened first, and given up when it is broken
- ``threads``  how many threads a worker may compute with: its share of this machine's cores
"""
