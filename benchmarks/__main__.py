"""Run every benchmark."""

from benchmarks import epoch_speed, ledger

epoch_speed.main([])
ledger.main()
