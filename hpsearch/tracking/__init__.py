"""Experiment trackers: copies of the trials' curves in other tools. The ledger decides.

- ``tracker``      the interface of a tracker, and the registry
- ``channel``      one tracker's thread and its bounded queue
- ``tracking``     all trackers of a worker
- ``open_runs``    locks of open runs, by which orphaned runs are found
- ``tensorboard``, ``wandb``, ``mlflow``: one module each
- ``builtin``  importing this registers the built-in trackers; none of their packages is imported
  yet

A tracker that fails, hangs or is slow loses points of its curves, but never affects a trial.
"""
