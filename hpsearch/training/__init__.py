"""Training one configuration, in pure PyTorch. Nothing here knows that a search exists.

- ``engine``: ``train``, one result per epoch
- ``plan``: what a configuration comes to (shapes, precision, batches), and whether it can be built
- ``cross_validation``: a trial of several trainings, one for each fold or split, an epoch of each
  in turn
- ``state``: everything that changes while training, and its copy in a checkpoint
- ``weight_average``: the moving average that ``evaluate: ema`` evaluates
- ``checkpoint``: states on disk, whole or not at all
- ``durable``: making a renamed file survive a power cut
- ``evaluate``: loss, accuracy and predictions in evaluation mode
- ``latency``: what one image takes, with one model or with several side by side
- ``batches``: pixels in memory, normalised on the device; the order of an epoch
- ``randomness``: seeds, and random numbers that nobody else disturbs
- ``precision``: fp32 or bf16, by a fixed rule
- ``losses``, ``regularizers``, ``early_stopping``, ``confusion``: one question each
- ``models/``, ``optimizers``, ``lr_schedules``, ``augmentation/``, ``data/``: what study files name
- ``registries``, ``builtin``: the kinds of component, and the modules that register them
"""
