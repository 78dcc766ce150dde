"""``python -m hpsearch``."""

from hpsearch.cli.process import main

if __name__ == "__main__":
    main()
