"""Trains one configuration, in pure PyTorch. Nothing in this package uses the search.

- ``engine``: ``train``, one result per epoch
- ``loops``: training loops of the user's own, and what runs them
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
- ``registries``, ``builtin``: the kinds of component, and the modules that register them
- ``augmentation``: random changes of training batches, as tensor operations on the batch's device
- ``classifier``: a trained model in use: images in, classes out
- ``data``: images: where they come from, how they are prepared once, and how they are split
- ``evaluate_test_set``: evaluates trained models on the test images, once, after the search
- ``formats``: files of a trained model for use elsewhere
- ``lr_schedules``: learning-rate schedules by name
- ``malloc``: memory that the process keeps from one training step to the next
- ``models``: networks by name
- ``optimizer_step``: one step of an optimizer, without repeated look-ups
- ``optimizers``, ``muon``: optimizers by name
- ``threads``: the number of threads of a training, by a fixed rule
- ``torch_file``: reads files of ``torch.save`` without running code from them
"""
