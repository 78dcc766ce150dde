"""What the user wrote: reading, checking and freezing study files. Needs neither torch nor Optuna.

From text to a study, in the order of the work:

- ``syntax``: YAML text as a tree of values that know their line.
- ``diagnostics``: collects everything that is wrong, so that all of it is shown at once.
- ``schema``: the keys a study file may have, derived from annotations and registries.
- ``sections``: the root of that schema, written by hand.
- ``overrides``: ``--set path=value``.
- ``inherit``: ``from``, what an earlier study found.
- ``plugins``: the user's own Python files.
- ``values``: one value, range or list of values against its key's annotation.
- ``walk``: the whole tree against the schema; the result is a space.
- ``first_trials``: the entries of ``try_first``.
- ``assemble``: the study out of all that.
- ``loading``: all of the above in one call, and where study files are found.

What comes out:

- ``space``: fixed values, ranges, choices, groups and branches.
- ``study``: the study as a whole.
- ``trial_config``: one concrete configuration, what training is told.

What else is done with it:

- ``freezing``: a trial as a study file without ranges.
- ``compare``: fingerprints, and how two studies differ.
- ``json_schema``: the schema for editors.
- ``durations``: ``8h``, ``30m``, ``90s``.
"""
