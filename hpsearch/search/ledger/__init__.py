"""The ledger: every stored fact about studies and tickets, and every write of one.

- ``studies``         creating, finding and listing studies
- ``study_identity``  whether a study is still the one in Optuna's tables
- ``study_deletion``  removing a study's rows
- ``study_copy``      copying them to another database
- ``claims``          which ticket a worker takes next
- ``lease``           watching other workers' leases by the own monotonic clock
- ``ledger``          every write about a ticket: start, report, release, fail
- ``fence``           only the ticket's owner can write
- ``decision``        whether a trial continues: what a pruner may see, and the pruning audit
- ``rungs``           trials that wait at rungs: which continues, and how they end
- ``outcomes``        a trial's end in the terms of the study's goals
- ``validity``        declaring an ended trial invalid, and taking that back
- ``events``          the append-only event log: kinds, writing, reading
- ``seen_events``     whether the ledger still contains what was read from it
- ``fleets``          which workers engines keep alive for a study
- ``queries``         queries: tickets, curves, counts
- ``statements``      what claims and fenced writes share
- ``types``           the arguments and results of the ledger's calls
"""
