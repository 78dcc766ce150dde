"""Importing this registers the built-in trackers; none of their packages is imported yet."""

import hpsearch.tracking.mlflow
import hpsearch.tracking.tensorboard
import hpsearch.tracking.wandb

__all__ = ["hpsearch"]
