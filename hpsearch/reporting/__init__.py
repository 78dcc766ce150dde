"""What a person reads about a study: its analysis, its report, its state.

A report is one page, charts for a paper, and tables, all from one reading of the database.

- ``analysis``       a study as data: tables, effects, costs, failures, comparisons
- ``pruning_audit``  savings and costs of pruning, by the trials that the audit kept
- ``status``         the state of a study, as ``status --json`` prints it
- ``content``        the data of a report
- ``reading``        reading it from the database, once
- ``hard_pictures``  thumbnails of the validation images that trainings get wrong
- ``winner_layers``  the layers of the winner's model
- ``labels``         units, short names, number formats
- ``palette``        colours of the page and of the charts for a paper
- ``blocks``         the elements of a report: text, tables, charts
- ``sections``       from content to blocks, a module for each part
- ``charts``         plotly figures of the page
- ``matplotlib_charts``  the same charts by matplotlib, for a paper
- ``trial_pictures``     the dashboard's pictures of a trial
- ``assemble``       the whole report of one study or several
- ``page``           the HTML file (``templates``)
- ``markdown``       the same as text
- ``writing``        all files of a report in a folder, trials and curves as CSV among them
"""
