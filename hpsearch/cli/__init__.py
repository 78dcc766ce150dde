"""The command line: commands and their output.

Importing this package imports neither torch nor Optuna nor SQLAlchemy (a test asserts it), so that
``hpsearch --help`` is instant: commands import what they need when they run.

- ``app``             the list of commands, and error handling
- ``process``         the console script
- ``commands``        a module per command (``launch`` has stop and worker, ``check`` has schema)
- ``terminal``        the output: tables, the live page, verdicts, a trial's page
- ``options``         options that several commands share; ``storage_option``: the database's
- ``run_options``     those of ``launch`` and ``confirm``, as one value
- ``flags``           how options are parsed and shown
- ``paths``           paths with ``~``, and study files from pipes
- ``deadline_options``  the options of a launch's deadline
- ``detached``        a launch in the background
- ``notify``          a command or a webhook that is called at the end
- ``completion``      completion of names in shells
- ``process_setup``  set-up of a command's process: signals, streams, environment
- ``storage_option``  the URL of a command's database, from the command line or the environment
"""
