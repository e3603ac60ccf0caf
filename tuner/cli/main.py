"""The entry point of the command line: runs a command and turns errors into exit codes."""

import sys
from collections.abc import Sequence

from tuner.cli.arguments import argument_parser
from tuner.errors import TunerError, UnreachedError
from tuner.extras import needs_search

WIDTH = 200  # columns of a table that is written to a file or a pipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code.

    The codes are 0 for success, 1 for a goal that was not reached, 2 for invalid input, and 130
    for an interruption from the keyboard.
    """
    args = argument_parser().parse_args(arguments)
    try:
        with needs_search(f"tuner {args.name}"):
            from rich.console import Console

            args.command(args, Console(width=None if sys.stdout.isatty() else WIDTH))
    except UnreachedError as error:
        print(f"tuner: {error}", file=sys.stderr)
        return 1
    except TunerError as error:
        if args.debug:
            raise
        print(f"tuner: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("tuner: interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    return 0
