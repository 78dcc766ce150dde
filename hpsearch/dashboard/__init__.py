"""The dashboard: optuna-dashboard, read-only, on this host's loopback only.

- ``app``         optuna-dashboard behind the guard, and the server
- ``guard``       lets only reading requests for this server pass
- ``routes``      answers a request itself, or passes it to optuna-dashboard
- ``page``        additions to optuna-dashboard's page
- ``storage``     the storage of optuna-dashboard: Optuna's rows and hpsearch's additions
- ``trials``      a study's trials, read in bulk and cached (``gc_pause``)
- ``trial_json``  a trial as JSON
- ``study_payload``  a study's data, the answer that grows with it
- ``study_view``  the state of a study: ranks, winner, trials kept by the pruning audit
- ``notes``       the notes of studies and trials (``thresholds``)
- ``artifacts``   curves, confusion matrix and frozen config of a trial
- ``reports``     the reports, behind the same guard
"""
