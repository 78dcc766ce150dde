"""Benchmarks: ``make bench``, or one of them: ``python -m benchmarks.epoch_speed``.

- ``epoch_speed``     an epoch of the reports' networks, against their loop and against bare steps
- ``recipes``         what each training trick adds, in equal epochs and in equal CPU seconds
- ``average_cost``    the cost of the moving average of ``evaluate: ema`` per epoch
- ``parity``          whether the fast loop is as accurate as the plain one
- ``precision_rule``  when bf16 is faster on a CPU, and what the rule chooses
- ``whole_search``    a search by hpsearch, a plain Optuna script and Ray Tune (``peers/``) in the
  same wall time; about twenty minutes, on an idle machine
- ``search_efficiency`` which search finds more in the same time, on recorded training curves
- ``growth``          a worker with 10,000 finished trials in the database, against stock Optuna
- ``scale``           fleets of up to 1,024 simulated workers, studies of up to 50,000 trials
- ``ledger``          trials per second without training, against ``study.optimize``
- ``worker_start``    seconds and memory of a worker before its first trial
- ``honesty``         whether the intervals of a confirmation are right, on searches with a known
  truth; a quarter of an hour on one core
- ``ablations``       whether the effects of an ablation are right, on trainings with a known truth
- ``deadlines``       whether `launch --for` ends in time, with noisy epochs, kills and more workers
- ``label_errors``    which share of swapped labels a report finds
- ``gpu``             `make gpu`: parity, resume, bf16, memory, workers and speed on a GPU; eight
  minutes
- ``storm``           `make storm`: kills, stops and outages, for hpsearch and for stock Optuna

Results are ratios within one run, since the speed of the machine drifts.
"""
