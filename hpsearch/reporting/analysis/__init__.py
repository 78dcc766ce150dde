"""The analysis of a study, as data that the report, the notebook and the Python API present.

Nothing here prints, draws or writes.

- ``parameters``   searched parameters, read from the trials' rows: ranges, branches, labels
- ``table``        one row per trial, one row per epoch
- ``observations``  the data that effects are estimated from: configurations and curves
- ``imputation``   estimated end values of pruned trials, with their uncertainty
- ``design``       parameters as columns of a regression
- ``contrasts``    intervals and tests that are valid for all comparisons at once
- ``effects``      which parameters matter, at which value, by how much: yes, no or undecided
- ``interactions`` which pairs of parameters depend on each other
- ``sentences``    effects in words
- ``importances``  which parameters the objective varies with, by Optuna's evaluators
- ``matrices``     confusion matrices of finalists, differences by class
- ``pictures``     pictures that trainings get wrong: the hardest, and probable label errors
- ``costs``        epochs and hours, savings by pruning, the best so far against both
- ``failures``     errors by kind, and the regions of the space that can't be built
- ``branches``     the choice by which trials are grouped: the model, or another branch
- ``comparison``   several studies side by side
- ``answer``       the answer to the study's question: the winner, its comparison, an effect
- ``findings``  results of the analysis of effects: levels, comparisons and verdicts
- ``outcomes``  end values that effects are estimated from: pruned ones imputed, diverged ones at a
  floor
"""
