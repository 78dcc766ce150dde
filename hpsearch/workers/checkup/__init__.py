"""What `hpsearch doctor` does: the ledger's rules, this host's files and processes, and mending.

- ``examine``    a study's health now, also while workers run
- ``files``      checkpoints and weights: what the ledger names is there, nothing else is left
- ``processes``  trials that a dead process of this host still holds
- ``mend``       what is safe to put right
"""
