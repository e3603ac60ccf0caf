"""The parser of the command line: one-line errors, and the spellings of the old sweep script."""

import argparse
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from tuner.printable import printable

LONGEST = 500  # characters of a message, which quotes what was typed


class Parser(argparse.ArgumentParser):
    """Accepts the old script's flags, which have underscores, and suggests names that are near."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._commands: dict[str, Parser] = {}  # by name; argparse adds them

    def add_subparsers(self, **options: Any) -> Any:
        """Add commands, as the base class does."""
        subparsers = super().add_subparsers(**options)
        self._commands = subparsers.choices
        return subparsers

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments after changing the underscores of flags to dashes."""
        arguments = [_dashed(argument) for argument in (sys.argv[1:] if args is None else args)]
        name = next((argument for argument in arguments if not argument.startswith("-")), "")
        if name and self._commands and name not in self._commands:
            self.error(f"unknown command {name!r}{_near(name, self._commands)}")
        parsed, unknown = self.parse_known_args(arguments, namespace)
        if unknown:
            command = self._commands.get(name, self)
            near = _near(unknown[0].partition("=")[0], command._option_string_actions)
            noun = "argument" if len(unknown) == 1 else "arguments"
            command.error(f"unknown {noun} {' '.join(unknown)}{near}")
        return parsed

    def error(self, message: str) -> Any:
        """Print an error of usage on one line and exit with code 2."""
        lists = "commands" if self._commands else "options"
        end = "" if message.endswith("?") else ";"
        said = printable(" ".join(message.split()))
        said = said if len(said) <= LONGEST else f"{said[:LONGEST]} …"
        self.exit(2, f"{self.prog}: {said}{end} `{self.prog} --help` lists the {lists}\n")


def _near(name: str, known: Iterable[str]) -> str:
    """The end of a message, which asks whether the name that is nearest is meant; else ''."""
    by_letters = {other.lstrip("-"): other for other in known}
    near = get_close_matches(name.lstrip("-")[:LONGEST], by_letters, n=1)
    return f"; did you mean {by_letters[near[0]]}?" if near else ""


def _dashed(argument: str) -> str:
    """A flag with dashes for underscores; its value, and all other arguments, unchanged."""
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument.partition("=")
    return flag.replace("_", "-") + equals + value
