"""What a study says, as data: the report, the notebook and the Python API present it.

Nothing here prints, draws or writes.

- ``parameters``   what was searched, as the trials' own rows tell it: ranges, branches, labels
- ``table``        one row per trial, one row per epoch
- ``observations``  what effects are estimated from: configurations and curves
- ``imputation``   what pruned trials would have come to, with the uncertainty of it
- ``design``       parameters as columns of a regression
- ``contrasts``    intervals and tests that hold for all comparisons at once
- ``effects``      which parameters matter, at which value, by how much: yes, no or undecided
- ``interactions`` which pairs of parameters depend on each other
- ``sentences``    effects in words
- ``importances``  which parameters the objective varies with, by Optuna's evaluators
- ``matrices``     confusion matrices of finalists, what differs by class, the hardest pictures
- ``costs``        epochs and hours, what pruning saved, the best so far against both
- ``failures``     errors by kind, and the regions of the space that can't be built
- ``comparison``   several studies side by side
- ``answer``       what was asked and what came out, in two sentences
"""
