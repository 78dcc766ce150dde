"""Run by Alembic: migrates on the connection that ``schema_version`` hands over."""

from alembic import context

from hpsearch.search import ledger_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=ledger_tables.metadata,
    version_table="hpsearch_alembic_version",
    # The caller holds the transaction: the tables and the version appear together or not at all.
    transactional_ddl=True,
)
context.run_migrations()
