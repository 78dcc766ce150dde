"""Engines: what keeps the workers of a launch alive on one machine or on a cluster.

- ``engine``    what an engine is, and what all of them share
- ``local``     worker processes of this machine
- ``ray``       actors on a Ray cluster
- ``ray_actor`` one of them, as it runs on a node
- ``slurm``     tasks of a Slurm job array
- ``kubernetes``  the pods of a Kubernetes Job
- ``profiles``  how an engine runs workers at this site: ``engines.yaml``
- ``fleet_state``  what the fleets of a study do at this moment
"""
