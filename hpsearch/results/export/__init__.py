"""A study's winner as files that can be used without the database.

- ``frozen``       a trial as a frozen config: a study file without ranges
- ``choice``       which trial that is: the confirmed winner, the best seen, or a named one
- ``confirmed``    the section of a frozen config about the confirmation
- ``card``         the model card
- ``front_matter``  its first lines, by which the Hugging Face Hub lists models
- ``matrix_picture``  its picture: the confusion matrix
- ``matrix_metrics``  shares of images with their intervals, as the card prints them
- ``bundle``       the folder that ``predict`` reads
- ``card_metrics``  the metrics of a model card: each with its interval, and the winner's
  comparisons
"""
