"""Prior results from elsewhere, checked against a study's space, for its sampler.

- ``source``   the content of a source: rows with named cells, and caveats
- ``csv_file`` a table of runs from a tracker or a spreadsheet
- ``studies``  another study: hpsearch's own, or any of Optuna's
- ``naming``   which cell is which parameter, and which is the objective
- ``check``    each row as a prior result, or why it can't be used
"""
