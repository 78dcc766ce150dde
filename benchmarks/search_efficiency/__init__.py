"""Which search finds more in the same time? Everybody on the same recorded training curves.

    python -m benchmarks.search_efficiency replay [--tables FOLDER] [--workers 1 4] [--replays 30]
        [--stragglers 0.2] [--crashes 0.05] [--keep FILE] [--json FILE]
        [--plot FILE]
    python -m benchmarks.search_efficiency record --work FOLDER [--table NAME] [--most 20]
    python -m benchmarks.search_efficiency prior [--tables FOLDER ..] [--out hpsearch/priors/v1.npz]

``replay`` needs no training: a clock that is made up, and contestants that ask for work and report
epochs as workers do. Ours is the product's own sampler, draw, pruner and audit, from a study file;
a test compares it with the whole ledger. Any folder of tables will do (``spaces``, ``table``).
``record`` trains the configurations of a table with the product's engine and goes on where it was.

- ``spaces``, ``tables/``   what is recorded, and the tables
- ``recording``, ``table``  training it; reading it, and which row answers a proposal
- ``simulation``            the clock, stragglers and crashes
- ``ours``, ``peers``       who searches; ``contestants`` names them
- ``prior``                 building a prior from tables; one that hasn't seen a table's images
- ``replays``, ``figures``  what each came to, and what may be said of it; ``plotting`` draws it

docs/search-efficiency.md has the results.
"""
