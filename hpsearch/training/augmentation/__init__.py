"""Random changes of training batches, on tensors, where the batch lies.

kinds       what an augmentation is: the three protocols
chain       all that a study file lists, one after the other
geometric   horizontal_flip, random_crop
erasing     random_erasing, cutout
colour      colour_jitter
mixing      mixup, cutmix: they change the labels too
boxes       rectangles inside images, as masks
memory      batches in the order in which they lie in memory

Nothing here loops over images, and nothing draws from torch's global generator: the same
generator state gives the same batch, so that a resumed trial goes on bit-exactly.
"""
