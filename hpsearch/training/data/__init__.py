"""Images: where they come from, how they are prepared once, and how they are split.

- ``images``             what a source hands over: ``Images``, ``Part``, ``Source``
- ``digits``, ``idx``, ``cifar``  the built-in sources; ``sources`` imports them all
- ``prepare``            ``prepare(config)`` for training, ``test_images(config)`` for the end
- ``summary``            what a source holds and whether it is here, for people
- ``split``              seeded, stratified ``limit`` and validation split
- ``decode``             pictures of one size from a source's part
- ``statistics``         mean and deviation of the training images
- ``cache``, ``content`` memory-mapped arrays on disk, keyed by the contents of files
- ``download``, ``restricted_pickle``, ``place``  fetching files, distrusting them, where they lie
"""
