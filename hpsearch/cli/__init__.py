"""What people type. One file per command group; each parses, calls the floors below, and prints.

Importing this package imports neither torch nor Optuna nor SQLAlchemy (a test asserts it), so that
``hpsearch --help`` is instant: commands import what they need when they run.

- ``app``        every command, and what becomes of an error
- ``options``    options that several commands share
- ``output``     tables, numbers and JSON, with and without a terminal
- ``opening``    the database, a stored study, a study file
- ``studies``    studies, check, schema
- ``run``        launch, worker, stop
- ``live``       what a launch shows while it runs
- ``detached``   a launch that outlives the terminal
- ``training``   train
- ``results``    status, show, export
- ``trial_page`` one trial on one page
- ``data``       data list, data prepare
- ``dashboard``  dashboard
"""
