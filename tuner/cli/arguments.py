"""The command line's arguments and their help texts."""

import argparse
from pathlib import Path
from typing import Any

from tuner.cli import commands
from tuner.cli.choosing import add_no_reference, add_pick
from tuner.cli.compare_arguments import add_compare
from tuner.cli.parser import Parser
from tuner.cli.report_arguments import add_report
from tuner.cli.terminal_arguments import (
    DOCTOR_HELP,
    SHOW_HELP,
    add_completion,
    add_doctor_flags,
    add_json,
    add_show_flags,
    complete_studies,
)

STORAGE = "sqlite:///tuner.db"
PARAMS = Path("search_params.json")
SCRIPT = Path("accelerated.py")

STORAGE_HELP = f"database: a file name or an SQLAlchemy URL (default: {STORAGE})"
DEVICE_HELP = "cpu, cuda, cuda:1 or mps (default: a GPU if there is one)"
SCORER_DEVICE_HELP = (
    "device on which the score and the extra metrics are computed: with cpu, a GPU's memory is the "
    "pipeline's alone, and scoring takes longer (default: the device of the pipeline)"
)
PROMPTS_HELP = "prompt set: coco, miniature, or a text file with one prompt per line"


def argument_parser() -> argparse.ArgumentParser:
    """The parser of all commands; the parsed arguments name the function to call as `command`."""
    parser = Parser(
        prog="tuner",
        description="Find the accelerator settings that make a diffusion model fastest while its "
        "image quality stays within the limits that you set.",
    )
    parser.set_defaults(is_plain=False)  # whether a command prints without the console
    parser.add_argument("--debug", action="store_true", help="show a traceback for errors")
    subparsers = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    _add_run(subparsers)
    _add_verify(subparsers)
    add_show_flags(_add_reader(subparsers, "show", SHOW_HELP))
    _add_export(subparsers)
    add_report(_add_reader(subparsers, "report", "write studies as one HTML page with figures"))
    add_compare(_add_reader(subparsers, "compare", "draw trials side by side, below the baseline"))
    _add_dashboard(subparsers)
    add_doctor_flags(_add_reader(subparsers, "doctor", DOCTOR_HELP))
    add_completion(subparsers)
    return parser


def _add_run(subparsers: Any) -> None:
    run = subparsers.add_parser(
        "run",
        help="start a search or continue it",
        description="Search for the fastest accelerator settings of one or more studies; a study "
        "is a model with a scheduler and a number of steps. Running the same command again "
        "continues where the last run stopped. Flags override the study file.",
    )
    run.add_argument(
        "study_file", nargs="?", type=Path, help="study file in TOML, like those in studies/"
    )
    _add_study_flags(run)
    _add_quality_flags(run)
    _add_stopping_flags(run)
    _add_sampler_flags(run)
    add_no_reference(run)
    _add_environment_flags(run)
    add_json(run, "write what happens to standard output as events, one JSON object a line")
    run.set_defaults(command=commands.run)


def _add_study_flags(run: argparse.ArgumentParser) -> None:
    """What is searched: model, scheduler, steps and accelerators."""
    run.add_argument(
        "--pipe",
        help="model: SD1.5, SDXL, PixArt-Sigma, miniature, … (an unknown name prints "
        "all of them); several are separated by commas (default: SD1.5)",
    )
    run.add_argument(
        "--sched",
        help="scheduler: DDIM, DPM-Solver++, UniPC or FlowMatchEuler, or the name of its class in "
        "diffusers; several are separated by commas (default: DDIM)",
    )
    run.add_argument(
        "--steps",
        help="number of denoising steps; several are separated by commas (default: 50)",
    )
    run.add_argument(
        "--search-targets",
        help="accelerators whose settings are searched, separated by commas, such as "
        "deepcache,tome,tgate (default: the model's own list, without those that do not fit)",
    )
    run.add_argument("--guidance-scale", type=float, help="guidance scale (default: the model's)")
    run.add_argument(
        "--resolution",
        type=int,
        help="height and width of the square images in pixels (default: the model's)",
    )
    run.add_argument("--batch-size", type=int, help="images per batch (default: 4)")


def _add_quality_flags(run: argparse.ArgumentParser) -> None:
    """How quality is measured, and the limits that a setting has to stay within."""
    run.add_argument("--num-samples", type=int, help="prompts per setting (default: 32)")
    run.add_argument(
        "--max-samples",
        type=int,
        help="maximum prompts per setting, used if --num-samples prompts are too few to tell "
        "whether a setting is within the limits; up to twice --num-samples of them are the pool "
        "that the sampler frontier draws prompts from (default: 4 times --num-samples)",
    )
    run.add_argument("--prompts", help=f"{PROMPTS_HELP} (default: the model's)")
    run.add_argument(
        "--req-score-loss",
        type=float,
        help="upper limit of the score loss, the share of the baseline's score that a setting may "
        "lose (default: 0.02, which is 2 %%)",
    )
    run.add_argument(
        "--metrics",
        help="extra metrics to measure, separated by commas, such as lpips,ssim; they do not "
        "exclude a setting unless --limit sets a limit for them",
    )
    run.add_argument(
        "--limit",
        dest="limits",
        action="append",
        metavar="METRIC=NUMBER",
        help="limit of an extra metric: an upper limit for distances (lpips=0.2) and for drops of "
        "a reward score (pickscore=0.3), a lower limit for similarities (ssim=0.9); can be given "
        "several times",
    )


def _add_stopping_flags(run: argparse.ArgumentParser) -> None:
    """When the search stops."""
    run.add_argument(
        "--req-time",
        type=float,
        help="stop when a setting within the limits takes at most this many seconds per image",
    )
    run.add_argument(
        "--req-speedup",
        type=float,
        help="stop when a setting within the limits is at least this many times as fast as the "
        "baseline",
    )
    run.add_argument(
        "--trials",
        type=int,
        help="total number of trials of the study, those of earlier runs included (default: 100; "
        "with grid and walk: all points of the sweep)",
    )
    run.add_argument("--timeout", type=float, help="maximum search time of each study in seconds")


def _add_sampler_flags(run: argparse.ArgumentParser) -> None:
    """How the settings to measure are chosen."""
    run.add_argument(
        "--sampler",
        help="how settings are chosen: frontier (this project's sampler); Optuna's tpe, gp, nsga2 "
        "or random; or an exhaustive sweep, grid or walk, with every accelerator of "
        "--search-targets switched on: grid measures every combination of values, walk goes "
        "through the nested loops of the earlier sweep script and skips settings with no knob "
        "more aggressive than the best feasible one's (default: frontier)",
    )
    run.add_argument(
        "--distinct",
        action="store_true",
        default=None,
        help="with --sampler grid: measure only one of several settings that are the "
        "same computation",
    )
    run.add_argument(
        "--aim",
        help="with --sampler frontier: max searches for the fastest setting within the limits, "
        "front for the smallest score loss at every speedup; tpe, gp, nsga2 and random always "
        "search for the front (default: max)",
    )
    run.add_argument(
        "--no-transfer",
        dest="transfer",
        action="store_const",
        const=False,
        help="disable the warm start from the most similar earlier study in the same database",
    )
    run.add_argument(
        "--seed",
        type=int,
        help="random seed for the noise, the accelerators and the sampler (default: 42)",
    )


def _add_environment_flags(run: argparse.ArgumentParser) -> None:
    """Where it runs, and where data comes from and goes to."""
    run.add_argument("--storage", help=STORAGE_HELP)
    run.add_argument("--device", help=DEVICE_HELP)
    run.add_argument("--scorer-device", help=SCORER_DEVICE_HELP)
    run.add_argument(
        "--dtype",
        help="float32, float16 or bfloat16 (default: depends on the model and the device)",
    )
    run.add_argument(
        "--model", help="hub id or folder of weights that replace those of the model in --pipe"
    )
    run.add_argument(
        "--pictures",
        default="pictures",
        help="folder for pictures and contact sheets; 'none' keeps no pictures (default: pictures)",
    )


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
    verify.add_argument("--device", help=DEVICE_HELP)
    verify.add_argument("--scorer-device", help=SCORER_DEVICE_HELP)
    verify.add_argument("--prompts", help=f"{PROMPTS_HELP} (default: as in the search)")
    verify.add_argument(
        "--model",
        help="hub id or folder of the weights that the search used, if they have moved",
    )
    verify.set_defaults(command=commands.verify)


def _add_export(subparsers: Any) -> None:
    export = _add_reader(
        subparsers, "export", "write the best settings of each study to search_params.json"
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
        subparsers,
        "dashboard",
        "serve optuna-dashboard for the database, reachable from this machine only",
    )
    dashboard.add_argument("--port", type=int, default=8080, help="its port (default: 8080)")
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
