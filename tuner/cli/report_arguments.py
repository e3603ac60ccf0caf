"""The arguments of `tuner report`."""

import argparse
from pathlib import Path

from tuner.cli import commands
from tuner.cli.terminal_arguments import complete_studies

REPORT = Path("report.html")


def add_report(report: argparse.ArgumentParser) -> None:
    """Add them to the subcommand, which has those of every command that reads the database."""
    studies = report.add_argument(
        "study",
        nargs="*",
        metavar="STUDY",
        help="name of a study, such as SD1.5/DDIM/50 (default: all studies of the database)",
    )
    complete_studies(studies)
    report.add_argument(
        "-o", "--output", type=Path, default=REPORT, help=f"the page to write (default: {REPORT})"
    )
    report.add_argument(
        "--csv",
        type=Path,
        metavar="PLACE",
        help="also write the numbers: the table of all trials to a file that ends in .csv, or "
        "every table to a folder",
    )
    report.add_argument(
        "--figures",
        type=Path,
        metavar="FOLDER",
        help="also write the figures to a folder, each as SVG and as PNG",
    )
    report.set_defaults(command=commands.report)
