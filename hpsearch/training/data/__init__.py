"""Images: where they come from, how they are prepared once, and how they are split.

- ``images``             what a source returns: ``Images``, ``Part``, ``Source``
- ``sources``            the built-in sources, one module for each
- ``picture_files``, ``packed_pictures``, ``pixel_arrays``  the formats that several of them read
- ``picture_places``     pictures in a folder or an archive, found by the names in a table
- ``pixel_kinds``        what the numbers in a picture file mean, if Pillow doesn't check it
- ``prepare``            ``prepare(config)`` for training, ``test_images(config)`` for the end
- ``availability``       whether the images of a source are available
- ``split``              seeded, stratified ``limit``, ``per_class`` and split into two parts
- ``folds``              the folds of cross-validation, and repeated splits
- ``group_split``        the same for images that must stay together, and the held-out test images
- ``decode``             pictures of one size from a source's part
- ``normalization``, ``statistics``  mean and deviation: given, or those of the training images
- ``cache``, ``content`` memory-mapped arrays on disk, keyed by the contents of files
- ``copies``, ``data_warnings``  what makes an accuracy less reliable
- ``download``, ``place``  fetching files, and the folders for them
- ``restricted_pickle``, ``pickle_structure``  pickles, read without trusting them
- ``room``               free memory and disk, checked before a large operation
"""
