"""Runs the command line from a clone without installing it: `python cli.py run …`."""

import sys

from tuner.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
