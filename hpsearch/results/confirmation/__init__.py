"""Confirmation: training the best trials again with fresh seeds, and judging the results.

- ``finalists``      which trials are trained again
- ``choosing``       the numbers of finalists and seeds, within a share of the search's epochs
- ``spec``           the settings of a confirmation, and how they are stored
- ``plan``           the next training, the rejected finalists with reasons, the winner
- ``predictions``    one training's prediction for each validation image, as it is stored
- ``outcomes``       results of planned trainings, from their tickets
- ``stored``         a confirmation in the database, and its progress
- ``contributions``  each image's contribution to an objective
- ``clusters``       variances of means if the images come in groups
- ``over_groups``    the summary of that per training, and the intervals that follow
- ``statistics``     intervals over seeds and images, paired differences, P(best)
- ``luck``           the part of a winner's value that is luck with the images that chose it
- ``judging``        from trainings to the verdict
- ``verdict``        the verdict's data classes
- ``reading``        the verdict on a search, from the database
"""
