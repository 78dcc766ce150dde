"""The registry of samplers; each registered function returns a ``search.suggest.Sampler``."""

from __future__ import annotations

from hpsearch.registry import Registry
from hpsearch.search.suggest import Sampler

SAMPLERS: Registry[Sampler] = Registry("sampler")
