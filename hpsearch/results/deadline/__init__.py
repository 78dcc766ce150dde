"""One deadline for a search, its confirmation and what follows: what is stored, and the estimates.

- ``costs``     seconds of trainings and confirmations, from measured epochs
- ``stages``    what follows a search, in order, each with its estimated seconds
- ``stored``    the deadline and what was done for it, in the event log
- ``forecast``  until when a search may train, from what the ledger contains
- ``trained``   what a planned study has trained, and how long its trainings take
- ``shorter``   a confirmation that ends in time: fewer seeds
- ``seeds``     an ablation that ends in time: as many seeds as there is time for
- ``sentence``  the deadline in one sentence
"""
