"""Trains one configuration, in pure PyTorch. Nothing in this package uses the search.

- ``engine``: ``train``, one result per epoch
- ``plan``: shapes, precision and batches of a configuration, and whether it can be built
- ``cross_validation``: a trial of several trainings, one per fold or split, an epoch of each
  in turn
- ``state``: everything that changes in training, and its copy in a checkpoint
- ``weight_average``: the moving average that ``evaluate: ema`` evaluates
- ``checkpoint``: states in files, written whole or not at all
- ``evaluate``: loss, accuracy and predictions in evaluation mode
- ``latency``: the time of one image, for one model or for several side by side
- ``batches``: pixels in memory, normalised on the device; the batch sizes of an epoch
- ``randomness``: seeds, and random numbers that other code can't disturb
- ``precision``: fp32 or bf16, by a fixed rule
- ``losses``, ``regularizers``, ``early_stopping``, ``confusion``: parts of the loop, one topic each
- ``models/``, ``optimizers``, ``lr_schedules``, ``augmentation/``, ``data/``: the components
- ``registries``, ``builtin``: the kinds of component, and the modules that register them
"""
