"""The report of a study: one page, figures for a paper, and tables, all from one reading.

- ``content``        everything that is told of a study; ``reading``: from the database, once
- ``hard_pictures``  thumbnails of the validation images that most trainings get wrong
- ``labels``         units, short names, how figures are written
- ``palette``        colours of page and paper
- ``blocks``         what a report is made of: text, tables, charts
- ``sections``       from content to blocks, a module for each part
- ``charts``         plotly figures of the page
- ``matplotlib_charts``  the same figures by matplotlib, for a paper
- ``assemble``       the whole report of one study or several
- ``page``           the HTML file (``templates``)
- ``markdown``       the same as text
- ``tables``         trials and curves as CSV
- ``json_file``      the content as JSON
- ``writing``        all files of a report in a folder
"""
