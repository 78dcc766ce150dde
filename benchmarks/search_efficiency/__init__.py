"""Compares what searches find in the same time, on the same recorded training curves.

    python -m benchmarks.search_efficiency replay [--tables FOLDER] [--workers 1 4] [--replays 30]
        [--stragglers 0.2] [--crashes 0.05] [--keep FILE] [--json FILE]
        [--plot FILE]
    python -m benchmarks.search_efficiency record --work FOLDER [--table NAME] [--most 20]
    python -m benchmarks.search_efficiency prior [--tables FOLDER ..] [--out hpsearch/priors/v1.npz]

``replay`` needs no training: it simulates the clock, and contestants request work and report epochs
as workers do. The contestant hpsearch is the product's own sampler, draw, pruner and audit, from a
study file; a test compares it with the whole ledger. It takes any folder of tables (``spaces``,
``table``). ``record`` trains the configurations of a table with the product's engine; an
interrupted recording continues.

- ``spaces``, ``tables/``   the spaces to record, and the tables
- ``recording``, ``table``  records a table; reads it, and finds the row for a proposal
- ``simulation``            the clock, stragglers and crashes
- ``ours``, ``peers``       the searchers; ``contestants`` names them
- ``prior``                 builds a prior from tables, also without those of a table's images
- ``replays``, ``figures``  the results, and statistics of them; ``plotting`` draws them

docs/search-efficiency.md has the results.
"""
