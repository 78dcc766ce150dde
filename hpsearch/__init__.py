"""hpsearch: hyperparameter search for image classifiers.

The floors, top to bottom (imports point down only):

- ``cli``         what people type
- ``dashboard``   optuna-dashboard behind our guard
- ``workers``     processes that pull trials and train them
- ``results``     records, ranking, frozen configs
- ``catalog``     every registry in one place, plug-ins included
- ``search``      Optuna, the ledger, samplers, pruning rules (no torch)
- ``training``    data, models, the training loop (no Optuna)
- ``study_file``  what the user wrote
- ``measurement``, ``registry``, ``errors``  the ground
"""

__version__ = "0.1.0"
