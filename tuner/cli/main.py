"""The entry point of the command line: runs a command and turns errors into exit codes."""

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuner.cli.arguments import argument_parser
from tuner.errors import TunerError, UnreachedError
from tuner.extras import needs_extras
from tuner.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 200  # columns of a table that is written to a file or a pipe
LONGEST = 2000  # characters of an error, which may quote a value of a file


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code.

    The codes are 0 for success, 1 for a goal that was not reached, 2 for invalid input, and 130
    for an interruption from the keyboard.
    """
    parser = argument_parser()
    if "_ARGCOMPLETE" in os.environ:  # the shell asks how a command line may go on
        import argcomplete

        argcomplete.autocomplete(parser)
    args = parser.parse_args(arguments)
    try:
        code: int | None
        if args.is_plain:
            code = args.command(args)
        else:
            with needs_extras(f"tuner {args.name}"):
                code = args.command(args, _console(args))
    except UnreachedError as error:
        print(_line(error), file=sys.stderr)
        return 1
    except TunerError as error:
        if args.debug:
            raise
        print(_line(error), file=sys.stderr)
        return 2
    except BrokenPipeError:  # `tuner show | head`: nobody reads the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        again = "; run the same command again to continue" if args.name in ("run", "worker") else ""
        print(f"tuner: interrupted{again}", file=sys.stderr)
        return 130
    return code or 0


def _line(error: TunerError) -> str:
    """An error as one line for a terminal."""
    text = printable(" ".join(str(error).split()))
    return f"tuner: {text if len(text) <= LONGEST else f'{text[:LONGEST]} …'}"


def _console(args: Namespace) -> "Console":
    """Where lines for people go: standard output, or with `--json` standard error."""
    from tuner.cli.plain_console import PlainConsole

    json = getattr(args, "json", False)
    stream = sys.stderr if json else sys.stdout
    # On a terminal that shows the events as well, a live view would be torn by them.
    plain = json and sys.stdout.isatty()
    return PlainConsole(
        stderr=json,
        width=None if stream.isatty() else WIDTH,
        force_terminal=False if plain else None,
        markup=False,  # names of studies may have brackets
        emoji=False,
    )
