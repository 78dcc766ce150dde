"""Alembic migrations of the ledger's tables (Optuna migrates its own).

- ``env``  run by Alembic: migrates on the connection that ``schema_version`` passes
"""
