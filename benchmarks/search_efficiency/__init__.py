"""Which search finds more in the same time? Everybody on the same recorded training curves.

    python -m benchmarks.search_efficiency record --work FOLDER [--emoji emoji5_32.pkl] [--most 20]
    python -m benchmarks.search_efficiency replay [--replays 50] [--workers 1 4] [--keep FILE]

``record`` trains every configuration of three tables with the product's engine (half an hour of one
core; it goes on where it was) and writes ``tables/``. ``replay`` needs no training: a clock that is
made up, and contestants that ask for work and report epochs as workers do. Ours is the product's
own sampler, draw, pruner and audit, from a study file; a test compares it with the whole ledger.

- ``spaces``, ``studies/``  what is recorded
- ``recording``, ``table``  training it; reading it, and which row answers a proposal
- ``simulation``            the clock
- ``ours``, ``peers``       who searches; ``contestants`` names them
- ``replays``, ``figures``  what each came to, and what may be said of it

docs/search-efficiency.md has the results.
"""
