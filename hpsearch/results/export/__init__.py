"""What leaves a study: its winner as files that mean something without the database.

- ``frozen``       a trial as a frozen config: a study file without ranges
- ``choice``       which trial that is: the confirmed winner, the best seen, or a named one
- ``confirmed``    what a frozen config tells of the confirmation
- ``card``         the model card; ``card_metrics``: its figures and classes
- ``matrix_metrics``  shares of images with their intervals, as the card prints them
- ``bundle``       the folder that ``predict`` reads
"""
