"""The runs place: where checkpoints and best weights are, a folder or the URL of a bucket.

- ``place``        what ``--runs`` means; it imports nothing heavy
- ``objects``      the objects below a URL, through fsspec, with every error translated
- ``study_files``  the files of one stored study, in a folder or below a URL
- ``checks``       whether a URL can be used: credentials, rights, the bucket
"""
