"""The first study file of somebody's own pictures: what ``hpsearch init`` writes.

- ``finding``     which data source reads a path, and with which keys
- ``groups``      pictures that belong together by their names
- ``inspection``  what is in a source: classes, numbers, sizes, colours
- ``recipe``      what to search and how, for such pictures
- ``measuring``   the time of an epoch of each candidate, measured on this machine
- ``fitting``     trials, epochs and input sizes that fit a time
- ``writing``     the study file, with its comments
- ``drafting``    all of these in order, from a path to a checked text
"""
