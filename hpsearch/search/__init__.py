"""The search: Optuna and the ledger, without torch.

A module imports only what is below it in this list.

- ``suggest``    one whole configuration for a ticket, before any row exists
- ``starts``     the first points of a study with a prior
- ``guesses``    draws near the priors that a person gave to parameters
- ``samplers``   what chooses a configuration: random, tpe, gp, forest, grid, qmc
- ``history``    Optuna's view of the trials, with the one that is being drawn
- ``prior_results``  results from elsewhere, which aren't trials; samplers learn from them
- ``history_rows``   Optuna's rows of many trials, read in few statements
- ``compact_trial``  Optuna's trials in little memory
- ``trust``      comparing the trials that a prior chose with others
- ``ledger``     every stored fact about studies and tickets, and every write of one
- ``pruning``    rules that stop trials, or promote them from rung to rung: pure functions
- ``database``   SQLite or Postgres: transactions, tables, migrations
"""
