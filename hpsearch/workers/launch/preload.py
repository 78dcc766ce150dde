"""What every worker process imports; the fork server imports it once for all of them.

torch imports ``torch._dynamo`` when the first optimizer is built: over a second, once per process
where it isn't here. Nothing here may start threads, open the storage or touch CUDA: none of these
survives a fork.
"""

import optuna
import torch._dynamo

import hpsearch.catalog
import hpsearch.results.space_report
import hpsearch.search.samplers
import hpsearch.training.components
import hpsearch.workers.launch.estimate
import hpsearch.workers.worker
from hpsearch.search.schema_version import head_revision, optuna_head

# Alembic runs every migration script to find the last one: here, and not again in each worker
head_revision()
optuna_head()

__all__ = ["hpsearch", "optuna", "torch"]
