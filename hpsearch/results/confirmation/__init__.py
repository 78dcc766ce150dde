"""The honest winner: the best trials trained again with fresh seeds, and what may be said of them.

- ``finalists``      which trials are trained again
- ``choosing``       how many of them and of seeds, within a share of the search's epochs
- ``plan``           which training comes next, who is out and why, who has won
- ``predictions``    what one training said of each validation image, as it is stored
- ``stored``         a confirmation in the database, and how far it has come
- ``contributions``  what each image contributes to an objective
- ``clusters``       variances of means whose images come in groups
- ``over_groups``    what a training keeps of that, and the intervals that follow
- ``statistics``     intervals over seeds and images, paired differences, chance of being the best
- ``luck``           how much of a winner's figure is luck with the images that chose it
- ``judging``        from trainings to the verdict
- ``verdict``        everything that is told in the end
- ``reading``        the verdict on a search, from the database
"""
