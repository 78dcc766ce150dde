"""The results of a study, read from the ledger. Two modules add events to the event log.

- ``records``       a study and its trials, valued by the study's objective
- ``ranking``       which trial is best
- ``summary``       the counts and the winner, as ``status --json`` prints them
- ``trial_attributes``  data from Optuna's rows only: attributes and infeasible draws
- ``provenance``    versions, repository and metrics for a frozen config
- ``export``        a winner as files: frozen configs, the model card, the bundle
- ``analysis``      a study as data: tables, effects, costs, failures, comparisons
- ``warm_start``    results from elsewhere, checked against a study's space
- ``opening``       how commands and notebooks open a stored study or a file
- ``inherited``     the winner of a stored study for a later study (``from: NAME``)
- ``pruning_audit`` savings and costs of pruning, by the trials that the audit kept
- ``final_evaluations`` test evaluations: their number and results
- ``confirmation_gap``  a test value outside the confirmed interval, and the likely reasons
- ``matplotlib_style``  matplotlib settings of the report's charts and ``trial_pictures``
- ``markdown``      escaped text in Markdown, and tables
- ``consistency``   invariants of every stored study, as small rules over its rows
- ``space_report``  a study's space, examined before anything runs
"""
