"""Priors: what is known of a configuration before anything of its study was trained.

- ``built``   what a configuration comes to once it is built: its optimizer, its net
- ``rule``    a rule of thumb over that
- ``making``  the prior that a study asks for

A prior chooses among random points (``search.starts``). It reads what is *built*, never names of
parameters: a plug-in's model and optimizer are judged like our own.
"""
