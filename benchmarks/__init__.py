"""Benchmarks: ``make bench``, or one of them: ``python -m benchmarks.epoch_speed``.

- ``epoch_speed``   an epoch of ours against the loop that most scripts have

Figures are ratios within one run: the machine's own speed drifts.
"""
