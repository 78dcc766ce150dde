"""``python -m hpsearch``."""

from hpsearch.cli.app import main

main()
