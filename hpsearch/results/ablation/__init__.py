"""Ablation: training a configuration with one setting changed, to measure the setting's effect.

- ``alternatives``  the values that a parameter is compared with, and the changed configurations
- ``spec``          the settings of an ablation, and how they are stored
- ``plan``          the next training: a pure function of those that have ended
- ``judging``       from trainings to effects, with intervals corrected for their number
- ``looks``         what is settled before the last seed: decided once, and stored
- ``sentences``     effects in words, which every output shows
- ``summary``       the result for programs
- ``stored``        an ablation in the database: its progress and its result
"""
