"""The arguments of `tuner compare`."""

import argparse
from pathlib import Path

from tuner.cli import commands
from tuner.cli.terminal_arguments import complete_studies

COMPARISON = Path("comparison.png")


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Add them to the parser of the command."""
    parser.description = (
        "Draw pictures of trials below the baseline's pictures of the same prompts and noise, in "
        "one PNG file. No model is loaded: the pictures are those that `tuner run` kept."
    )
    study = parser.add_argument("study", help="name of the study, such as SD1.5/DDIM/50")
    complete_studies(study)
    parser.add_argument(
        "--trials",
        type=_numbers,
        required=True,
        metavar="N,N",
        help="numbers of trials, such as 3,7, from top to bottom",
    )
    parser.add_argument(
        "--prompts",
        type=_numbers,
        default=[],
        metavar="N,N",
        help="numbers of prompts, such as 0,5,12, which stand under the pictures of a contact "
        "sheet (default: the eight prompts whose score fell most)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=COMPARISON,
        help=f"the picture to write, a PNG file (default: {COMPARISON})",
    )
    parser.set_defaults(command=commands.compare)


def _numbers(text: str) -> list[int]:
    """Whole numbers of zero or more, separated by commas."""
    numbers = text.split(",")
    if not all(number.strip().isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 3,7")
    return [int(number) for number in numbers]
