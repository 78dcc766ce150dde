"""Reads, checks and freezes study files. Needs neither torch nor Optuna.

From text to a study, in the order of the work:

- ``syntax``: YAML text as a tree of values with their lines.
- ``diagnostics``: collects all problems, so that they are shown at once.
- ``schema``: the keys that a study file may have, derived from annotations and registries.
- ``sections``: the root of that schema, written by hand.
- ``overrides``: ``--set path=value``.
- ``inherit``: ``from``, the result of an earlier study.
- ``recipes``: ``recipe``, sections that train well.
- ``plugins``: the user's own Python files.
- ``values``: one value, range or list of values against its key's annotation.
- ``walk``: the whole tree against the schema; the result is a space.
- ``first_trials``: the entries of ``try_first``.
- ``assemble``: builds the study.
- ``loading``: all of the above in one call, and where study files are found.

The results:

- ``goals``: one or several objectives, and the constraints of a winner.
- ``space``: fixed values, ranges, choices, groups and branches.
- ``study``: the study as a whole.
- ``trial_config``: one concrete configuration, the input of training.

Further uses:

- ``freezing``: a trial as a study file without ranges.
- ``compare``: fingerprints, and how two studies differ.
- ``json_schema``: the schema for editors.
- ``durations``: ``8h``, ``30m``, ``90s``.
- ``question_key``: the key `question`, a text or paths of searched parameters.
- ``goal_keys``: the rules between the keys `objective`, `objectives`, `prune_on` and `constraints`.
- ``portable``: paths of a study in a form that a file can use on other machines.
- ``shipped``: study files and priors that come with hpsearch, by name.
- ``spelling``: suggestions for unknown names in a study file.
"""
