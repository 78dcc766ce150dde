"""Samplers: where to look next.

- ``model_based``  tpe, gp, and random: Optuna's samplers, asked against a draft
- ``forest``       a model of the study of our own, which learns from trials that are not complete
- ``enumerated``   grid and qmc: every draw takes the next point of one shared sequence
"""

from hpsearch.search.samplers import enumerated, forest, model_based
from hpsearch.search.samplers.registry import SAMPLERS

__all__ = ["SAMPLERS", "enumerated", "forest", "model_based"]
