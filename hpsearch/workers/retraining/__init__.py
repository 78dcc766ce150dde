"""Training a frozen config outside any study: to reproduce its metrics, or for a model to use.

- ``assignment``    what is trained: on which images, with which seed, for how many epochs
- ``progress_file`` the progress of a training in a folder, so that the next call continues
- ``run``           training one assignment to its end, and writing its model
- ``outcome``       the trained model, as the folder that predict reads
- ``final``         the winner on all images, before a deadline
- ``verification``  whether data and metrics are those that a frozen config records
"""
