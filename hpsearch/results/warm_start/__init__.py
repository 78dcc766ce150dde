"""Results from elsewhere, checked against a study's space, as knowledge for its sampler.

- ``source``   what a source holds: rows with named cells, and what is to be known of it
- ``csv_file`` a table of runs, as a tracker or a spreadsheet writes it; ``numbers``: its numbers
- ``studies``  another study: hpsearch's own, or any of Optuna's
- ``cells``    one cell as a parameter's stored value
- ``naming``   which cell is which parameter, and which is the objective
- ``check``    each row as a lesson, or why it is none
"""
