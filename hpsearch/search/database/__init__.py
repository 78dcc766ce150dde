"""One database, SQLite or Postgres, with Optuna's tables and ours.

- ``storage``         opening, transactions, waiting; several reads of the same moment
- ``errors``          what an error of the database means
- ``sqlite_file``     a SQLite file that was replaced or damaged
- ``storage_url``     URLs of databases, and how messages show them
- ``environment``     the database that the environment names, and secrets in files
- ``schema_version``  creating and upgrading the tables, refusing unknown ones
- ``tables``          our tables, beside Optuna's
- ``migrations``      creating and changing our tables, by Alembic
- ``optuna_rows``     the few statements that write Optuna's own tables
- ``read_only_storage``  the base of Optuna storages that only read
- ``prepared``        the hot path's statements: compiled once, sent together
- ``stored_json``     JSON in rows, and what happens if it is damaged
"""
