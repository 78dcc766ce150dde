"""Run every benchmark."""

from benchmarks import epoch_speed

epoch_speed.main()
