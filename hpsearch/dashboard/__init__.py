"""The dashboard: optuna-dashboard, read-only, on this host's loopback only.

- ``app``         optuna-dashboard behind the guard, and the server
- ``guard``       lets only reading requests for this server pass
- ``routes``      answers a request itself, or passes it to optuna-dashboard
- ``storage``     the storage of optuna-dashboard: Optuna's rows and hpsearch's additions
- ``trials``      a study's trials, read in bulk and cached
- ``trial_json``  a trial as JSON
- ``study_payload``  a study's data, the answer that grows with it
- ``study_view``  the state of a study: ranks, winner, trials kept by the pruning audit
- ``notes``       the notes of studies and trials
- ``home``  the home page, and the head of a study's page
- ``artifacts``   curves, confusion matrix and frozen config of a trial
- ``reports``     the reports, behind the same guard
- ``gc_pause``  builds large data without runs of Python's garbage collector
- ``server``  a small threading WSGI server that a few silent or slow clients can't block
- ``thresholds``  why a trial was pruned, from the study's current values
"""
