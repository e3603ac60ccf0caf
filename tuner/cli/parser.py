"""The parser of the command line: one-line errors, and the spellings of the old sweep script."""

import argparse
import sys
from typing import Any


class Parser(argparse.ArgumentParser):
    """Accepts the old script's flags, which have underscores: `--num_samples`."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments after changing the underscores of flags to dashes."""
        arguments = sys.argv[1:] if args is None else list(args)
        return super().parse_args([_dashed(argument) for argument in arguments], namespace)

    def error(self, message: str) -> Any:
        """Print an error of usage on one line and exit with code 2."""
        self.exit(2, f"{self.prog}: {message}; `{self.prog} --help` lists the options\n")


def _dashed(argument: str) -> str:
    """A flag with dashes for underscores; its value, and all other arguments, unchanged."""
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument.partition("=")
    return flag.replace("_", "-") + equals + value
