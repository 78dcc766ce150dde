"""Pruning: rules that stop trials, or promote them from rung to rung. All are pure functions.

- ``pruners``    none, median, percentile, asha, hyperband; a new rule is one more function there
- ``promotion``  asha's rule: trials pause at rungs, and the best of them are promoted
- ``forecast``   how many trials of a budget will complete
"""
