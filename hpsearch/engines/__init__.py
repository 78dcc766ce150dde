"""Engines: what keeps the workers of a launch alive on one machine or on a cluster.

- ``engine``    what an engine is, and what all of them share
- ``profiles``  how an engine runs workers at this site: ``engines.yaml``
"""
