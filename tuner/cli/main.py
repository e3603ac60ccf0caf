"""The command line: arguments to calls, no logic."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from tuner.errors import TunerError, UnreachedError, UsageError
from tuner.passwords import hidden

STORAGE = "sqlite:///tuner.db"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives back the exit code: 0 done, 1 not reached, 2 wrong input."""
    args = _parser().parse_args(arguments)
    # In a file or a pipe there is no edge at which a table would have to break.
    console = Console(width=None if sys.stdout.isatty() else 200)
    try:
        args.command(args, console)
    except UnreachedError as error:
        print(f"tuner: {error}", file=sys.stderr)
        return 1
    except TunerError as error:
        if args.debug:
            raise
        print(f"tuner: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("tuner: interrupted; the same command continues", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tuner",
        description="Find the fastest accelerator settings of a diffusion model that keep its "
        "pictures as good.",
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback for errors")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_verify(commands)
    for name, help_text, command in (
        ("show", "print the front of a study", _show),
        ("export", "write search_params.json", _export),
        ("dashboard", "open optuna-dashboard on the studies, on this machine", _dashboard),
    ):
        sub = commands.add_parser(name, help=help_text, description=help_text)
        sub.add_argument("--storage", default=STORAGE, help=f"database (default: {STORAGE})")
        if name != "dashboard":
            sub.add_argument("--study", action="append", help="a study's name (default: all)")
        if name == "export":
            sub.add_argument(
                "-o",
                "--output",
                type=Path,
                default=Path("search_params.json"),
                help="the file to write",
            )
        if name == "dashboard":
            sub.add_argument("--port", type=int, default=8080, help="default: 8080")
        sub.set_defaults(command=command)
    return parser


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="search, or go on searching",
        description="Search for the best settings of each study. The same command goes on where "
        "the last one stopped. Flags outweigh the study file.",
    )
    run.add_argument("study_file", nargs="?", type=Path, help="a TOML file, as in studies/")
    run.add_argument(
        "--pipe",
        help="a known model (SD1.5, SDXL, PixArt-Sigma, miniature, …); several with commas",
    )
    run.add_argument(
        "--sched",
        help="DDIM, DPM-Solver++, UniPC or FlowMatchEuler, or its diffusers class; several with "
        "commas",
    )
    run.add_argument("--steps", help="denoising steps; several with commas")
    run.add_argument(
        "--search-targets",
        help="accelerators that may be on, with commas (default: those of the model's that fit)",
    )
    run.add_argument("--num-samples", type=int, help="prompts for each setting (default: 32)")
    run.add_argument(
        "--max-samples",
        type=int,
        help="maximum prompts for each setting; also the pool that frontier draws a trial's "
        "prompts from (default: 4 times --num-samples)",
    )
    run.add_argument("--batch-size", type=int, help="pictures at once (default: 4)")
    run.add_argument(
        "--seed", type=int, help="random seed of noise, accelerators and sampler (default: 42)"
    )
    run.add_argument("--req-time", type=float, help="stop at this many seconds per image")
    run.add_argument("--req-speedup", type=float, help="stop at this speedup")
    run.add_argument(
        "--req-score-loss",
        type=float,
        help="score loss must stay under this (default: 0.02, which is 2 %%)",
    )
    run.add_argument("--metrics", help="measured beside the score, with commas: lpips,ssim")
    run.add_argument(
        "--limit",
        dest="limits",
        action="append",
        metavar="METRIC=NUMBER",
        help="of a metric beside the score, as lpips=0.2 or ssim=0.9; may be repeated",
    )
    run.add_argument(
        "--trials", type=int, help="the total to reach (default: 100; of a replay every point)"
    )
    run.add_argument("--timeout", type=float, help="seconds of searching at most")
    run.add_argument(
        "--sampler",
        help="frontier, tpe, gp, nsga2 or random (default: frontier); replays, with all targets "
        "on: grid is every point, walk the old script's order, which skips what cannot be faster",
    )
    run.add_argument(
        "--distinct",
        action="store_true",
        default=None,
        help="in a grid, one trial for each distinct computation",
    )
    run.add_argument(
        "--aim",
        help="of the sampler frontier: max, the fastest within the limits, or front, every "
        "speed's least loss; the other samplers always search the front (default: max)",
    )
    run.add_argument(
        "--no-transfer",
        dest="transfer",
        action="store_const",
        const=False,
        help="learn nothing from a related study in the same database",
    )
    run.add_argument("--storage", help=f"database (default: {STORAGE})")
    run.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best present)")
    run.add_argument("--dtype", help="float32, float16 or bfloat16 (default: by device)")
    run.add_argument("--prompts", help="coco, miniature, or a text file with a prompt a line")
    run.add_argument("--model", help="hub id or folder that replaces the known model's weights")
    run.add_argument("--guidance-scale", type=float, help="default: the model's")
    run.add_argument("--resolution", type=int, help="pixels a side (default: the model's)")
    run.add_argument("--pictures", default="pictures", help="folder for pictures, or 'none'")
    run.set_defaults(command=_run)


def _add_verify(commands: Any) -> None:
    verify = commands.add_parser(
        "verify",
        help="measure what a search_params.json holds again",
        description="Measure the feasible settings of a file again, on prompts and noise that the "
        "search never saw; later, or on another machine. Says what holds, and writes it into the "
        "file. Exit code 1 where the best no longer holds.",
    )
    verify.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=Path("search_params.json"),
        help="the file (default: search_params.json)",
    )
    verify.add_argument("--best", action="store_true", help="only the best setting of each study")
    verify.add_argument("--num-samples", type=int, help="prompts (default: as the search had)")
    verify.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best present)")
    verify.add_argument("--prompts", help="coco, miniature, or a text file with a prompt a line")
    verify.add_argument("--model", help="hub id or folder of the same weights")
    verify.set_defaults(command=_verify)


class _Parser(argparse.ArgumentParser):
    """Takes the old script's spellings: a flag's underscores are dashes."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        given = sys.argv[1:] if args is None else list(args)
        return super().parse_args([_dashed(one) for one in given], namespace)

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: {message}; `{self.prog} --help` lists what there is\n")


def _dashed(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument.partition("=")
    return flag.replace("_", "-") + equals + value


def _run(args: argparse.Namespace, console: Console) -> None:
    from tuner.study_files import read_specs

    flags = {
        name: value
        for name, value in vars(args).items()
        if name not in ("study_file", "command", "name", "debug", "pictures")
    }
    asked = read_specs(args.study_file, flags)
    if not args.pictures:
        raise UsageError("--pictures is empty; give it a folder, or none")
    quiet()
    quiet_models()
    from tuner.cli import launch

    pictures = None if args.pictures == "none" else Path(args.pictures)
    launch.run_all(asked, console, pictures)


def _verify(args: argparse.Namespace, console: Console) -> None:
    quiet()
    quiet_models()
    from tuner.params.verify import verify

    changes = {name: getattr(args, name) for name in ("num_samples", "device", "prompts", "model")}
    verify(
        args.file,
        say=lambda line: console.print(line, highlight=False, markup=False),
        best_only=args.best,
        changes=changes,
    )


def _show(args: argparse.Namespace, console: Console) -> None:
    from tuner.cli.show import show

    show(_studies(args, console), console)


def _export(args: argparse.Namespace, console: Console) -> None:
    from tuner.params import write as export

    studies = _studies(args, console)
    export.write(args.output, export.document(studies))
    what = "1 study" if len(studies) == 1 else f"{len(studies)} studies"
    console.print(f"wrote {args.output} ({what})", highlight=False)


def _dashboard(args: argparse.Namespace, console: Console) -> None:
    from tuner.cli import dashboard
    from tuner.storage.database import Storage

    dashboard.check_port(args.port)
    storage = Storage(args.storage, create=False)
    console.print(f"http://127.0.0.1:{args.port}/ shows {hidden(args.storage)}; Ctrl-C ends it")
    dashboard.serve(storage, args.port)


def _studies(args: argparse.Namespace, console: Console) -> list[Any]:
    """The studies that are asked for; all that are far enough where none is named."""
    from tuner.params.write import having_baseline
    from tuner.storage.database import Storage

    quiet()
    storage = Storage(args.storage, create=False)
    names = args.study or storage.study_names()
    if not names:
        raise UsageError(f"{hidden(args.storage)} holds no study; `tuner run` makes one")
    return having_baseline(
        [storage.study(name) for name in names],
        lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True),
        named=bool(args.study),
    )


def quiet() -> None:
    """Keep Optuna's chatter and the libraries' warnings off the terminal."""
    import logging
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)


def quiet_models() -> None:
    """Keep the chatter of what loads and runs models off the terminal; imports it."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import diffusers
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
