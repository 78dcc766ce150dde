"""Priors: they judge configurations before any trial of the study was trained.

- ``built``   a configuration's optimizer and model, built
- ``rule``    a rule of thumb for them
- ``learned`` the rule and trees that were grown from recorded searches: ``features`` are their
  inputs, ``forest`` the trees, ``prior_file`` their file (``v1.npz``)
- ``making``  the prior that a study names

A prior chooses among random points (``search.starts``). It judges the *built* optimizer and model,
never the names of parameters: so it judges those of a plug-in like our own.
"""
