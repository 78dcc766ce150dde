"""What people type, and what they see.

Importing this package imports neither torch nor Optuna nor SQLAlchemy (a test asserts it), so that
``hpsearch --help`` is instant: commands import what they need when they run.

- ``app``             every command, and what becomes of an error
- ``commands``        a module per command (``launch`` has stop and worker, ``check`` has schema)
- ``terminal``        what is printed: tables, the live page, verdicts, a trial's page
- ``options``         options that several commands share; ``storage_option``: the database's
- ``run_options``     those of ``launch`` and ``confirm``, as one value
- ``starting``        what a launch is asked to change in its study file
- ``detached``        a launch that outlives the terminal
- ``notify``          a command or a webhook that hears of the end
- ``completion``      names for a shell's Tab key
"""
