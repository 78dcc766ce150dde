"""Alembic migrations of the ledger's tables (Optuna migrates its own)."""
