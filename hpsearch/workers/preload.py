"""What every worker process imports; the fork server imports it once for all of them.

Nothing here may start threads, open the storage or touch CUDA: none of these survives a fork.
"""

import optuna
import torch
import torchvision

import hpsearch.catalog
import hpsearch.search.samplers
import hpsearch.training.components
import hpsearch.workers.worker

__all__ = ["hpsearch", "optuna", "torch", "torchvision"]
