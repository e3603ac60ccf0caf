"""Runs the command line from a plain clone: ``python cli.py run …``."""

import sys

from tuner.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
