"""Workers: processes that claim trials and train them, so they use both search and training.

- ``launch``          one launch: what it will cost, its supervisor, its pool of local processes
- ``worker``          one worker: claim, run, again (``worker_options``: how)
- ``trial``           one claimed trial: its configuration, its training, its files, its lease
- ``confirming``      confirming a search's winner with fresh seeds
- ``winner``          what is done with a winner: test images, files of its model, labels
- ``retraining``      training a frozen config outside any study; verifying it
- ``same_images``     whether the images are still those of a study's trials
- ``deleting``        deleting a stored study, its confirmations and its files
- ``checkup``         what `hpsearch doctor` examines and mends
- ``devices``         devices, threads and slots of this machine
- ``owners``          workers' names, and the host that they contain
"""
