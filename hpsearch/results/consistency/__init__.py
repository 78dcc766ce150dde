"""What must hold of every stored study, whatever happened to its workers.

Each rule is a small function over facts that were read at one moment; nothing here writes.

- ``facts``     tickets, epochs, events and Optuna's rows of one study, as of one moment
- ``rule``      what a rule is, and what it finds
- ``tickets``   the budget, and one end per trial
- ``attempts``  one live owner at a time, no late write
- ``epochs``    every epoch once
- ``trials``    Optuna's rows say the same as the ledger
- ``rules``     all of them
"""
