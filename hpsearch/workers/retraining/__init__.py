"""Training a frozen config outside any study: for its figures again, or for a model to use.

- ``assignment``    what is trained: on which images, with which seed, for how many epochs
- ``progress_file`` how far a training in a folder has come, so that the next call goes on
- ``session``       training one assignment to its end
- ``outcome``       the model that came of it, as the folder that predict reads
- ``verification``  whether data and figures are what a frozen config says
"""
