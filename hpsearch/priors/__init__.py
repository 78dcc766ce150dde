"""Priors: what is known of a configuration before anything of its study was trained.

- ``built``   what a configuration comes to once it is built: its optimizer, its net
- ``rule``    a rule of thumb over that
- ``learned`` the rule and trees that were grown from recorded searches: ``features`` are what they
  are told, ``forest`` the trees, ``prior_file`` their file (``v1.npz``)
- ``making``  the prior that a study asks for

A prior chooses among random points (``search.starts``). It reads what is *built*, never names of
parameters: a plug-in's model and optimizer are judged like our own.
"""
