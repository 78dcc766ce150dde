"""Run every benchmark."""

from benchmarks import epoch_speed, ledger, machine_share

epoch_speed.main([])
machine_share.main([])
ledger.main()
