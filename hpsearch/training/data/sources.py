"""Imports every built-in source, which registers it in ``SOURCES``."""

from __future__ import annotations

from hpsearch.training.data import cifar, digits, idx, image_folder, pickled_dict

__all__ = ["cifar", "digits", "idx", "image_folder", "pickled_dict"]
