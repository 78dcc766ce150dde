"""The report of a study: one page, charts for a paper, and tables, all from one reading.

- ``content``        the data of a report; ``reading``: from the database, once
- ``hard_pictures``  thumbnails of the validation images that most trainings get wrong
- ``labels``         units, short names, number formats
- ``palette``        colours of page and paper
- ``blocks``         the elements of a report: text, tables, charts
- ``sections``       from content to blocks, a module for each part
- ``charts``         plotly figures of the page
- ``matplotlib_charts``  the same charts by matplotlib, for a paper
- ``assemble``       the whole report of one study or several
- ``page``           the HTML file (``templates``)
- ``markdown``       the same as text
- ``tables``         trials and curves as CSV
- ``json_file``      the content as JSON
- ``writing``        all files of a report in a folder
"""
