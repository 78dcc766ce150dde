"""Run by Alembic: migrates on the connection that ``schema_version`` passes."""

from alembic import context

from hpsearch.search.database import tables as ledger_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=ledger_tables.metadata,
    version_table="hpsearch_alembic_version",
    # In the caller's transaction the tables and the version appear together or not at all.
    transactional_ddl=True,
)
context.run_migrations()
