"""The built-in sources; importing this package registers them in ``SOURCES``.

- ``digits``        scikit-learn's digits
- ``idx``           MNIST, Fashion-MNIST, and other sets in their format
- ``cifar``, ``cifar_files``  CIFAR-10 and CIFAR-100
- ``table``, ``table_rows``, ``table_columns``  file names and classes in a CSV or Parquet file
- ``image_folder``  a folder of pictures for each class
- ``arrays``, ``array_files``  NumPy's ``.npz`` and ``.npy``, without pickle
- ``parquet``        pictures inside of Parquet files, as Hugging Face's
- ``pickled_dict``, ``pickled_entries``  arrays in a pickle
- ``torchvision_sets``  data sets of torchvision by name
- ``webdataset``     tar files in which a picture is followed by its class
- ``part_files``     which part each file of a set is, if it has several
- ``held_out``       from parts to a source, with test images that are held out of a part
"""

from __future__ import annotations

from hpsearch.training.data.sources import (
    arrays,
    cifar,
    digits,
    idx,
    image_folder,
    parquet,
    pickled_dict,
    table,
    torchvision_sets,
    webdataset,
)

__all__ = [
    "arrays",
    "cifar",
    "digits",
    "idx",
    "image_folder",
    "parquet",
    "pickled_dict",
    "table",
    "torchvision_sets",
    "webdataset",
]
