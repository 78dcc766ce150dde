"""What `hpsearch doctor` does: checking the ledger, this host's files and processes, and repairs.

- ``examine``    a study's health now, also while workers run
- ``files``      checkpoints and weights: what the ledger names is there, and nothing else
- ``processes``  running trials whose worker process on this host has ended
- ``repairs``    repairs that are safe
"""
