"""The flags of `tuner run` about several studies."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.errors import UsageError

if TYPE_CHECKING:
    from tuner.cli.sweep import EndFiles

FRONT = "search_params.json"
REPORT = "report.html"
NONE = "none"


def add_sweep_flags(run: argparse.ArgumentParser) -> None:
    """Add them."""
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="only say how many studies there are and how many are complete, and how much device "
        "time and disk space the others will need; no model is loaded",
    )
    for flag, what, name in (
        (
            "--export",
            "the best settings and the front of each study, as `tuner export` does",
            FRONT,
        ),
        ("--report", "the page that `tuner report` writes", REPORT),
    ):
        run.add_argument(
            flag,
            metavar="FILE",
            help=f"when all studies have been run, write this file: {what}; 'none' writes none "
            f"(default: {name} if there are several studies, else none)",
        )


def end_files(args: argparse.Namespace, studies: int) -> "EndFiles":
    """The files that a run of so many studies writes at its end."""
    from tuner.cli.sweep import EndFiles

    chosen: dict[str, Path | None] = {}
    for name, default in (("export", FRONT), ("report", REPORT)):
        value = getattr(args, name)
        if value == "":
            raise UsageError(f"--{name} is empty; give a file, or 'none' to write none")
        value = value or (default if studies > 1 else NONE)
        chosen[name] = None if value == NONE else Path(value)
    return EndFiles(front=chosen["export"], report=chosen["report"])
