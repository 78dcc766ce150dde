"""What a study found out, read from the ledger. Nothing here writes to the database.

- ``records``       a study and its trials, valued by the study's objective
- ``ranking``       which trial is best
- ``summary``       the counts and the winner, as ``status --json`` prints them
- ``trial_attributes``  what only Optuna's rows hold: attributes and infeasible draws
- ``provenance``    versions, repository and figures that a frozen config carries
- ``export``        what leaves a study: frozen configs, the model card, the folder of a model
- ``analysis``      what a study says, as data: tables, effects, costs, failures, comparisons
- ``warm_start``    results from elsewhere, checked against a study's space
- ``opening``       how commands and notebooks come to a stored study or a file
- ``inherited``     what a later study takes over from a stored one (``from: NAME``)
- ``pruning_audit`` what pruning saved and what it cost, by the trials that were spared
- ``final_evaluations`` how often test images were opened, and what was read off them
- ``confirmation_gap``  a test figure outside the confirmed interval, and the likely reasons
- ``matplotlib_style``  matplotlib, as the report's figures and ``trial_pictures`` use it
- ``markdown``      text of other people in Markdown, and tables
- ``consistency``   what must hold of every stored study, as small rules over its rows
- ``space_report``  what a study's space holds, before anything ran
"""
