"""Imports every built-in source, so that ``SOURCES`` knows it."""

from __future__ import annotations

from hpsearch.training.data import cifar, digits, idx, image_folder, pickled_dict

__all__ = ["cifar", "digits", "idx", "image_folder", "pickled_dict"]
