"""Random changes of training batches, as tensor operations on the batch's device.

- ``kinds``      the four protocols of an augmentation, and the registry
- ``chain``      applies all augmentations of a study file in their order
- ``geometric``  horizontal_flip, alternating_flip, random_crop
- ``erasing``    random_erasing, cutout
- ``colour``     colour_jitter
- ``policies``   trivial_augment, rand_augment
- ``mixing``     mixup, cutmix: they change the labels too
- ``boxes``      rectangles inside images, as masks
- ``memory``     batches in their memory order

No augmentation loops over images or draws from torch's global generator: the same generator state
gives the same batch, so that a resumed trial continues bit-identically.
"""
