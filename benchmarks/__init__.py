"""Benchmarks: ``make bench``, or one of them: ``python -m benchmarks.epoch_speed``.

- ``epoch_speed``     an epoch of the reports' networks, against their loop and against bare steps
- ``average_cost``    what the moving average of ``evaluate: ema`` adds to an epoch
- ``parity``          whether the fast loop is as accurate as the plain one
- ``precision_rule``  where bf16 pays on a CPU, and what the rule chooses
- ``whole_search``    a search of ours against a plain Optuna script and Ray Tune (``peers/``), for
  the same wall time; some twenty minutes, on a machine that does nothing else
- ``search_efficiency`` who finds more in the same time, on recorded training curves
- ``growth``          a worker beside 10,000 finished trials, against a stock study
- ``ledger``          trials per second without training, against ``study.optimize``
- ``worker_start``    seconds and memory of a worker before its first trial
- ``honesty``         whether a confirmation tells the truth, on searches whose truth is known; a
  quarter of an hour on one core
- ``gpu``             `make gpu`: parity, resume, bf16, memory, workers and speed on a GPU; eight
  minutes
- ``storm``           `make storm`: kills, stops and outages, over hpsearch and over stock Optuna

Figures are ratios within one run: the machine's own speed drifts.
"""
