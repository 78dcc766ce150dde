"""The results of a study, read from the ledger: what trials, confirmations and exports need.

Nothing here formats a page; ``hpsearch.reporting`` does.

- ``records``       a study and its trials, valued by the study's objective
- ``data_sets``     trials of one study that were trained on different images
- ``trial_attributes``  data from Optuna's rows only: attributes and infeasible draws
- ``error_text``    why a trial failed, in one line
- ``ranking``       which trial is best
- ``kept_weights``  which trials' weights stay on disk
- ``question``      what a study asks about: the parameters that its question names
- ``deadline``      what follows a search under a deadline, and its time
- ``verdicts``      yes, no or undecided: when a difference counts, over many comparisons
- ``winner``        the winner in one or two sentences, which every output shows
- ``summary``       the counts and the winner, as ``status --json`` prints them
- ``interim``       what a search would answer if it ended now, and what more of it may bring
- ``overfitting``   the epoch from which a trial overfits
- ``confirmation``  the best trials again, with fresh seeds: plan, statistics, verdict
- ``ablation``      one setting changed at a time, with paired fresh seeds: plan and effects
- ``planned``       studies that follow a plan: confirmations and ablations of a search
- ``final_evaluations`` test evaluations: their number and results, in the event log
- ``confirmation_gap``  a test value outside the confirmed interval, and the likely reasons
- ``export``        a winner as files: frozen configs, the model card, the bundle
- ``provenance``    versions, repository and metrics for a frozen config
- ``markdown``      escaped text in Markdown, and tables
- ``opening``       how commands and notebooks open a stored study or a file
- ``inherited``     the winner of a stored study for a later study (``from: NAME``)
- ``space_report``  a study's space, examined before anything runs
- ``images_used``   the prepared images that a study may use
- ``warm_start``    results from elsewhere, checked against a study's space
- ``prior_examples``  trials of a study as examples for a learned prior
- ``consistency``   invariants of every stored study, as small rules over its rows
"""
