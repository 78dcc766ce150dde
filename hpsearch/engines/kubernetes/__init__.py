"""Workers as the pods of a Kubernetes Job, through the program ``kubectl``.

- ``engine``   the engine: it submits the Job, scales and deletes it
- ``job``      the Job: what makes its pods workers
- ``pods``     how the workers are, by the state of the Job and of its pods
- ``kubectl``  runs the program
"""
