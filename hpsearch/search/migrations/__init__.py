"""Alembic migrations of the ledger's tables (Optuna's tables are Optuna's)."""
