"""The output of commands, with and without a terminal.

- ``output``             tables, numbers, times, JSON; untrusted text is cleaned
- ``live``               what a launch shows while it runs
- ``ending``             how a launch ended
- ``training_progress``  what `train` and `verify` show while they run
- ``front``              a winner: one trial, or the points of several objectives
- ``verdict``            a confirmation
- ``ablation``           the effects that an ablation measured
- ``trial_page``         one trial on one page
- ``model_summary``      a model's layers
- ``reproduction``       whether a training reproduced its recorded metrics
"""
