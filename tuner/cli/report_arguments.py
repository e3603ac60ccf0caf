"""The arguments of `tuner report`."""

import argparse
from pathlib import Path

from tuner.cli import commands
from tuner.cli.terminal_arguments import complete_studies

REPORT = Path("report.html")


def add_report(report: argparse.ArgumentParser) -> None:
    """Add them to the subcommand, which has those of every command that reads the database."""
    report.description = (
        "Write one HTML page that needs no other file and no network: the best setting, the front, "
        "pictures, every trial, the cost of the search, and how to apply a setting. A page of "
        "several studies begins with a comparison."
    )
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
        metavar="FILE_OR_FOLDER",
        help="also write the numbers as CSV: the table of all trials to a file that ends in .csv, "
        "or every table to a folder",
    )
    report.add_argument(
        "--figures",
        type=Path,
        metavar="FOLDER",
        help="also write the figures to a folder, each as SVG and as PNG",
    )
    report.set_defaults(command=commands.report)
