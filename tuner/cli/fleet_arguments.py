"""The arguments of `tuner worker`, and those of `tuner run` for several workers."""

import argparse
from pathlib import Path
from typing import Any

from tuner.cli import commands
from tuner.cli.study_flags import study_flags
from tuner.cli.trust_arguments import add_allow_pickle

AUTO = "auto"
STUDY_FILE_HELP = (
    "study file in TOML; `tuner init` writes one, and the project's folder studies/ has examples"
)
PICTURES_HELP = (
    "folder for pictures and contact sheets; 'none' keeps no pictures (default: pictures)"
)


def add_search(parser: argparse.ArgumentParser) -> None:
    """The arguments of a command that searches studies, besides the flags of studies."""
    parser.add_argument("study_file", nargs="?", type=Path, help=STUDY_FILE_HELP)
    parser.add_argument("--pictures", default="pictures", help=PICTURES_HELP)
    add_allow_pickle(parser)


def add_workers(run: argparse.ArgumentParser) -> None:
    """The flags of `tuner run` that name its workers."""
    who = run.add_mutually_exclusive_group()
    who.add_argument(
        "--workers",
        type=_workers,
        metavar="N",
        help="search with N workers on this host at once, each with a GPU of its own or, on a CPU, "
        "with an equal share of the cores; 'auto' is one for each GPU, and a single one on a CPU. "
        "Needs pip install 'diffusion-tuner[cluster]'",
    )
    who.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="search with all workers of a running Dask cluster, such as tcp://10.0.0.7:8786; "
        "with workers on other hosts, --storage must name a database server. "
        "Needs pip install 'diffusion-tuner[cluster]'",
    )


def add_worker(subparsers: Any) -> None:
    """`tuner worker`."""
    worker = subparsers.add_parser(
        "worker",
        parents=[study_flags()],
        help="work on studies together with other workers",
        description="Work on the studies of a file together with the other workers that were "
        "started with the same file and the same database, on this host or others, until all "
        "studies are done. Takes the flags of `tuner run` that describe studies, loads a model "
        "once, prints plain lines. "
        "Ctrl-C and SIGTERM end it after the running batch of prompts; its trial is queued again.",
    )
    add_search(worker)
    worker.set_defaults(command=commands.worker)


def _workers(text: str) -> str:
    """A whole number of at least 1, or 'auto'."""
    if text == AUTO or (text.isdecimal() and int(text) >= 1):
        return text
    raise argparse.ArgumentTypeError(
        f"must be a whole number of at least 1 or '{AUTO}', not {text!r}"
    )
