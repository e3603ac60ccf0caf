"""The flags whose values are those of a study, under the names of its keys in study files.

`tuner run` and `tuner init` take them, and the JSON Schema of study files gets its descriptions
from their help texts.
"""

import argparse

from tuner.cli.choosing import add_no_reference
from tuner.sampler_table import SAMPLERS

STORAGE = "sqlite:///tuner.db"

STORAGE_HELP = f"database: a file name or an SQLAlchemy URL (default: {STORAGE})"
DEVICE_HELP = "device: cpu, cuda, cuda:1 or mps (default: a GPU if there is one)"
SCORER_DEVICE_HELP = (
    "device on which the score and the extra metrics are computed: with cpu, a GPU's memory is the "
    "pipeline's alone, and scoring takes longer (default: the device of the pipeline)"
)
PIPELINE_HELP = (
    "a pipeline of your own: a function of a Python file that returns it, such as "
    "production.py:make_pipeline"
)
CALL_HELP = (
    "with --pipeline: a function of a Python file that returns the arguments of its call as a "
    "dict, such as production.py:make_call"
)
PROMPTS_HELP = (
    "prompts: the set coco, PartiPrompts, DrawBench or miniature; a text file with one prompt per "
    "line; a column of a CSV or JSONL file, captions.csv:caption; or of a data set, ID:SPLIT:COLUMN"
)

Group = argparse._ArgumentGroup


def study_flags() -> argparse.ArgumentParser:
    """A parser of these flags in groups; other parsers take it as a parent."""
    flags = argparse.ArgumentParser(add_help=False)
    _add_study_flags(flags.add_argument_group("what is searched"))
    _add_quality_flags(flags.add_argument_group("quality and its limits"))
    stopping = flags.add_argument_group("when the search stops, and what it measures then")
    _add_stopping_flags(stopping)
    add_no_reference(stopping)
    _add_sampler_flags(flags.add_argument_group("how settings are chosen"))
    _add_environment_flags(flags.add_argument_group("where it runs"))
    return flags


def _add_study_flags(group: Group) -> None:
    """What is searched: model, scheduler, steps and accelerators."""
    group.add_argument(
        "--pipe",
        help="model: SD1.5, SDXL, PixArt-Sigma, miniature, … (an unknown name prints "
        "all of them); several are separated by commas (default: the kind of --model, or SD1.5); "
        "with --pipeline: the first part of the study's name (default: the pipeline's class)",
    )
    group.add_argument(
        "--sched",
        help="scheduler: DDIM, DPM-Solver++, UniPC, Euler a, DPM++ 2M Karras, LCM, … (an unknown "
        "name prints all of them), or the name of its class in diffusers; several are separated by "
        "commas (default: DDIM, or one that fits how the model was trained; with --pipeline: its "
        "own)",
    )
    group.add_argument(
        "--steps",
        help="number of denoising steps; several are separated by commas (default: 50; with "
        "--pipeline: those of its call)",
    )
    group.add_argument(
        "--pipeline", help=f"{PIPELINE_HELP} (default: the model of --pipe or --model)"
    )
    group.add_argument(
        "--call",
        help=f"{CALL_HELP}; in a study file also a table of arguments (default: the pipeline's "
        "defaults)",
    )
    group.add_argument(
        "--search-targets",
        help="accelerators whose settings are searched, separated by commas, such as "
        "deepcache,tome,tgate (default: the model's own list, without those that do not fit)",
    )
    group.add_argument("--guidance-scale", type=float, help="guidance scale (default: the model's)")
    group.add_argument(
        "--resolution",
        type=int,
        help="height and width of square images in pixels (default: the model's)",
    )
    group.add_argument(
        "--height", type=int, help="height of the images in pixels (default: that of --resolution)"
    )
    group.add_argument(
        "--width", type=int, help="width of the images in pixels (default: that of --resolution)"
    )
    group.add_argument(
        "--negative-prompt", help="what the images must not show, for all prompts (default: none)"
    )
    group.add_argument("--batch-size", type=int, help="images per batch (default: 4)")


def _add_quality_flags(group: Group) -> None:
    """How quality is measured, and the limits that a setting has to stay within."""
    group.add_argument("--num-samples", type=int, help="prompts per setting (default: 32)")
    group.add_argument(
        "--max-samples",
        type=int,
        help="maximum prompts per setting, used if --num-samples prompts are too few to tell "
        "whether a setting is within the limits; the sampler frontier draws the prompts of each "
        "trial from twice as many as --num-samples, if --max-samples allows it (default: 4 times "
        "--num-samples)",
    )
    group.add_argument("--prompts", help=f"{PROMPTS_HELP} (default: the model's)")
    group.add_argument(
        "--req-score-loss",
        type=float,
        help="upper limit of the score loss, the share of the baseline's score that a setting may "
        "lose (default: 0.02, which is 2%%)",
    )
    group.add_argument(
        "--metrics",
        help="extra metrics to measure, separated by commas, such as lpips,ssim; they do not "
        "exclude a setting unless --limit sets a limit for them (default: none)",
    )
    group.add_argument(
        "--limit",
        dest="limits",
        action="append",
        metavar="METRIC=NUMBER",
        help="limit of an extra metric: an upper limit for distances (lpips=0.2) and for drops of "
        "a reward score (pickscore=0.3), a lower limit for similarities (ssim=0.9); can be given "
        "several times (default: none)",
    )


def _add_stopping_flags(group: Group) -> None:
    """When the search stops."""
    group.add_argument(
        "--req-time",
        type=float,
        help="stop when a setting within the limits takes at most this many seconds per image "
        "(default: none)",
    )
    group.add_argument(
        "--req-speedup",
        type=float,
        help="stop when a setting within the limits is at least this many times as fast as the "
        "baseline (default: none)",
    )
    group.add_argument(
        "--trials",
        type=int,
        help="total number of trials of the study, those of earlier runs included (default: 100; "
        "with grid and walk: all points of the sweep)",
    )
    group.add_argument(
        "--min-gain",
        type=float,
        help="stop before --trials once no setting is expected to improve the result by this "
        "share, such as 0.002 for 0.2%%; with the sampler frontier only (default: none)",
    )
    group.add_argument(
        "--timeout", type=float, help="maximum search time of each study in seconds (default: none)"
    )


def _samplers(*, sweeps: bool) -> str:
    """The samplers that are sweeps, or the others, each with what it is."""
    rows = [row for row in SAMPLERS.values() if row.sweeps == sweeps]
    return ", ".join(f"{row.name} ({row.summary})" for row in rows)


def _add_sampler_flags(group: Group) -> None:
    """How the settings to measure are chosen."""
    group.add_argument(
        "--sampler",
        help=f"how settings are chosen: {_samplers(sweeps=False)}; or an exhaustive sweep, with "
        f"every accelerator of --search-targets switched on: {_samplers(sweeps=True)} "
        "(default: frontier)",
    )
    group.add_argument(
        "--distinct",
        action="store_true",
        default=None,
        help="with --sampler grid: measure only one of several settings that are the "
        "same computation",
    )
    group.add_argument(
        "--aim",
        help="with --sampler frontier: max searches for the fastest setting within the limits, "
        "combinations for the fastest one of each combination of accelerators, front for the "
        "smallest score loss at every speedup; the other samplers always search for the front "
        "(default: max)",
    )
    group.add_argument(
        "--no-transfer",
        dest="transfer",
        action="store_const",
        const=False,
        help="disable the warm start from the most similar earlier study in the same database",
    )
    group.add_argument(
        "--seed",
        type=int,
        help="random seed for the noise, the accelerators and the sampler (default: 42)",
    )


def _add_environment_flags(group: Group) -> None:
    """Where it runs, and where data comes from and goes to."""
    group.add_argument("--storage", help=STORAGE_HELP)
    group.add_argument("--device", help=DEVICE_HELP)
    group.add_argument("--scorer-device", help=SCORER_DEVICE_HELP)
    group.add_argument(
        "--dtype",
        help="precision: float32, float16 or bfloat16 (default: depends on the model and the "
        "device)",
    )
    group.add_argument(
        "--compile",
        metavar="MODE",
        help="measure baseline and settings with the denoiser compiled by torch.compile, in this "
        "mode: default, reduce-overhead or max-autotune (default: not compiled)",
    )
    group.add_argument(
        "--model",
        help="hub id or folder of a pipeline whose weights are used; its model_index.json says "
        "which kind of model it is, unless --pipe does",
    )
