"""Samplers: they choose the next configuration.

- ``sampler``      what a sampler is: the request, the protocol, the registry
- ``model_based``  tpe, gp and random: Optuna's samplers, which draw against a draft
- ``forest``       our own model of the study, which also learns from trials that aren't complete
- ``enumerated``   grid and qmc: every draw takes the next point of one shared sequence
"""

from hpsearch.search.samplers import enumerated, forest, model_based
from hpsearch.search.samplers.sampler import SAMPLERS

__all__ = ["SAMPLERS", "enumerated", "forest", "model_based"]
