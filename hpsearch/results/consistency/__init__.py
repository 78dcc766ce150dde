"""Invariants of every stored study, whatever happened to its workers.

Each rule is a small function over facts of one snapshot; nothing here writes.

- ``facts``     tickets, epochs, events and Optuna's rows of one study, in one snapshot
- ``rule``      the data classes of rules and findings
- ``tickets``   the budget, one live owner at a time, one end per trial, no late write
- ``epochs``    every epoch once
- ``trials``    Optuna's rows agree with the ledger
- ``rules``     all of them
"""
