"""The dashboard: optuna-dashboard, read-only, on this host's loopback only.

- ``app``         optuna-dashboard behind the guard, and the server
- ``guard``       what may pass: reading requests that name this server
- ``routes``      who answers what: ours, or optuna-dashboard
- ``page``        what is put into optuna-dashboard's page
- ``storage``     what optuna-dashboard reads through: Optuna's rows and what hpsearch knows
- ``trials``      a study's trials, read in bulk and kept (``gc_pause``)
- ``trial_json``  a trial as JSON
- ``study_payload``  a study's data, the answer that grows with it
- ``study_view``  how a study stands: ranks, winner, what the audit spared
- ``notes``       the notes of studies and trials (``thresholds``)
- ``artifacts``   curves, confusion matrix and frozen config of a trial (``results.trial_pictures``)
- ``reports``     the reports, behind the same guard
"""
