"""The command line's arguments and their help texts."""

import argparse
from pathlib import Path
from typing import Any

from tuner.cli import commands
from tuner.cli.choosing import add_pick
from tuner.cli.compare_arguments import add_compare
from tuner.cli.fleet_arguments import add_search, add_worker, add_workers
from tuner.cli.parser import Parser
from tuner.cli.report_arguments import add_report
from tuner.cli.study_flags import (
    CALL_HELP,
    DEVICE_HELP,
    PIPELINE_HELP,
    PROMPTS_HELP,
    SCORER_DEVICE_HELP,
    STORAGE,
    STORAGE_HELP,
    study_flags,
)
from tuner.cli.sweep_arguments import add_sweep_flags
from tuner.cli.terminal_arguments import (
    DOCTOR_HELP,
    SHOW_HELP,
    add_completion,
    add_doctor_flags,
    add_json,
    add_show_flags,
    complete_studies,
)
from tuner.cli.trust_arguments import add_allow_pickle, add_host

PARAMS = Path("search_params.json")
SCRIPT = Path("accelerated.py")
STUDY = Path("study.toml")


def argument_parser() -> argparse.ArgumentParser:
    """The parser of all commands; the parsed arguments name the function to call as `command`."""
    parser = Parser(
        prog="tuner",
        description="Find the accelerator settings that make a diffusion model fastest while its "
        "image quality stays within the limits that you set.",
        epilog="`tuner COMMAND --help` describes a command and lists its options.",
    )
    parser.set_defaults(is_plain=False)  # whether a command prints without the console
    parser.add_argument("--debug", action="store_true", help="show a traceback for errors")
    subparsers = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    _add_run(subparsers)
    add_worker(subparsers)
    _add_init(subparsers)
    _add_verify(subparsers)
    add_show_flags(_add_reader(subparsers, "show", SHOW_HELP))
    _add_export(subparsers)
    add_report(_add_reader(subparsers, "report", "write studies as one HTML page with figures"))
    add_compare(_add_reader(subparsers, "compare", "draw the pictures of trials side by side"))
    _add_dashboard(subparsers)
    add_doctor_flags(_add_reader(subparsers, "doctor", DOCTOR_HELP))
    add_completion(subparsers)
    return parser


def _add_run(subparsers: Any) -> None:
    run = subparsers.add_parser(
        "run",
        parents=[study_flags()],
        help="start a search or continue it",
        description="Search for the fastest accelerator settings of one or more studies; a study "
        "is a model with a scheduler and a number of steps. Running the same command again "
        "continues where the last run stopped. Flags override the study file. Results are stored "
        "in the database (--storage), pictures in a folder (--pictures).",
    )
    add_search(run)
    add_sweep_flags(run)
    add_workers(run)
    add_json(run, "write what happens to standard output as events, one JSON object per line")
    run.set_defaults(command=commands.run)


def _add_init(subparsers: Any) -> None:
    init = subparsers.add_parser(
        "init",
        parents=[study_flags()],
        help="write a commented study file",
        description="Write a study file with every key, what it means and its default, to be "
        "edited and given to `tuner run`. Takes the same flags as `tuner run`, and sets their "
        "values in the file. A file that exists is not overwritten.",
    )
    init.add_argument(
        "file", nargs="?", type=Path, default=STUDY, help=f"the file to write (default: {STUDY})"
    )
    init.set_defaults(command=commands.init)


def _add_verify(subparsers: Any) -> None:
    verify = subparsers.add_parser(
        "verify",
        help="re-measure the settings of a search_params.json",
        description="Re-measure the feasible settings of a search_params.json, later or on another "
        "machine, with prompts and noise that the search did not use. Prints which settings still "
        "hold (are within the limits and not clearly slower than before), and writes the new "
        "figures into the file. The exit code is 1 if the best setting of a study no longer holds, "
        "or if a study has none.",
    )
    verify.add_argument(
        "file", nargs="?", type=Path, default=PARAMS, help=f"the file to verify (default: {PARAMS})"
    )
    verify.add_argument(
        "--best", action="store_true", help="verify only the best setting of each study"
    )
    verify.add_argument(
        "--num-samples", type=int, help="prompts per setting (default: as in the search)"
    )
    verify.add_argument(
        "--max-samples",
        type=int,
        help="maximum prompts per setting, used if --num-samples prompts are too few to be sure "
        "of the verdict (default: 4 times --num-samples)",
    )
    verify.add_argument("--device", help=DEVICE_HELP)
    verify.add_argument("--scorer-device", help=SCORER_DEVICE_HELP)
    verify.add_argument("--prompts", help=f"{PROMPTS_HELP} (default: as in the search)")
    verify.add_argument(
        "--model",
        help="hub id or folder of the weights that the search used, if they have moved",
    )
    trusted = "as in the search; code that only search_params.json names is not run"
    verify.add_argument("--pipeline", help=f"{PIPELINE_HELP} ({trusted})")
    verify.add_argument("--call", help=f"{CALL_HELP} ({trusted})")
    add_allow_pickle(verify)
    verify.set_defaults(command=commands.verify)


def _add_export(subparsers: Any) -> None:
    export = _add_reader(
        subparsers, "export", "write the best settings of each study to search_params.json"
    )
    export.description = (
        "Write each study's best setting, the best of each combination of accelerators and the "
        "whole front to search_params.json, which tuner.apply reads."
    )
    _add_study_names(export)
    export.add_argument(
        "-o",
        "--output",
        type=Path,
        help=f"the file to write (default: {PARAMS}, or {SCRIPT} with --format diffusers)",
    )
    export.add_argument(
        "--format",
        choices=("json", "diffusers"),
        default="json",
        help="json, which tuner.apply reads, or diffusers: for one study, a script that draws the "
        "same pictures with diffusers and the accelerators' packages alone (default: json)",
    )
    add_pick(export)
    export.set_defaults(command=commands.export)


def _add_dashboard(subparsers: Any) -> None:
    dashboard = _add_reader(
        subparsers, "dashboard", "show studies and trials in a browser, with optuna-dashboard"
    )
    dashboard.description = (
        "Serve optuna-dashboard for the studies of the database until Ctrl-C. The page is at "
        "http://127.0.0.1:8080/ (see --port), and only this machine can reach it, unless --host "
        "says otherwise."
    )
    add_host(dashboard)
    dashboard.add_argument(
        "--port", type=int, default=8080, help="port of the page (default: 8080)"
    )
    dashboard.set_defaults(command=commands.dashboard)


def _add_reader(subparsers: Any, name: str, help_text: str) -> argparse.ArgumentParser:
    """A subcommand that reads the database."""
    reader: argparse.ArgumentParser = subparsers.add_parser(
        name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}."
    )
    reader.add_argument("--storage", default=STORAGE, help=STORAGE_HELP)
    return reader


def _add_study_names(reader: argparse.ArgumentParser) -> None:
    study = reader.add_argument(
        "--study",
        action="append",
        help="name of a study, such as SD1.5/DDIM/50; can be given several times (default: all "
        "studies of the database)",
    )
    complete_studies(study)
