"""Experiment trackers: where else a trial's curve goes, while the ledger stays what counts.

- ``tracker``      what a tracker is, and the registry of them
- ``channel``      one tracker's thread and its bounded queue
- ``tracking``     a worker's trackers together
- ``open_runs``    runs whose worker died before their end was told
- ``tensorboard``, ``wandb``, ``mlflow``: one module each (``components`` registers them,
                   ``wandb_files`` are W&B's offline folders)

A tracker that fails, hangs or is slow costs points in the tracker, never a trial anything.
"""
