"""The search: Optuna and the ledger, without torch.

- ``storage``         one database, SQLite or Postgres: opening, transactions, waiting
- ``database_errors`` what an error of the database means (``sqlite_file``: a replaced file)
- ``storage_environment``  the database that the environment names (``secret_file``: its password)
- ``ledger_tables``   our tables, beside Optuna's; ``migrations`` creates them
- ``prepared``        the hot path's statements: compiled once, sent together
- ``optuna_rows``     the few statements that write Optuna's own tables
- ``studies``         creating, finding and listing studies
- ``study_identity``  whether a study is still the one in Optuna's tables (``study_deletion``)
- ``claims``          which ticket a worker takes next
- ``ledger``          every write about a ticket: start, report, release, fail; behind a ``fence``
- ``events``          the append-only event log: kinds, writing, reading
- ``epoch_reports``   the write of every epoch: metrics, decision, the trial's end (``outcomes``)
- ``decision``        whether a trial goes on: what a pruner may see, and the pruning audit
- ``rungs``           trials that wait at rungs: which goes on, and how they end
- ``queries``         queries of the ledger: tickets, curves, counts
- ``snapshot``        several reads that see the same moment
- ``lease``           watching other workers' leases by the own monotonic clock
- ``history``         Optuna's view of the trials, with the one that is being drawn
- ``prior_results``   results from elsewhere, which aren't trials; samplers learn from them
- ``validity``        declaring an ended trial invalid, and taking that back
- ``samplers``        random, tpe, grid, gp, qmc
- ``pruners``         none, median, percentile, asha, hyperband (``promotion``: asha's rule)
- ``grid_points``     the points of a finite space, numbered
- ``suggest``         one whole configuration for a ticket, before any row exists
"""
