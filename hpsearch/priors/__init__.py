"""Priors: they judge configurations before any trial of the study was trained.

- ``built``   a configuration's optimizer and model, built
- ``rule``    a rule of thumb for them
- ``learned`` the rule and trees that were grown from recorded searches
- ``making``  the prior that a study names
- ``features``  the features of a configuration for a learned prior
- ``forest``  extremely randomised trees as plain arrays: grown by scikit-learn, evaluated with
  NumPy alone
- ``prior_file``  the file of a learned prior: its forest, and the data that the forest was grown
  from

A prior chooses among random points (``search.starts``). It judges the *built* optimizer and model,
never the names of parameters: so it judges those of a plug-in like our own.
"""
