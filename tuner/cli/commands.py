"""The commands: each takes the parsed arguments and calls the library.

Imports stand inside the functions, so that `tuner --help` and invalid flags answer at once.
"""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from tuner.cli.quiet import quiet, quiet_models
from tuner.errors import UsageError
from tuner.passwords import hidden

NO_SPEC_KEYS = ("study_file", "command", "name", "debug", "pictures")
VERIFY_KEYS = ("num_samples", "device", "scorer_device", "prompts", "model")


def run(args: argparse.Namespace, console: Console) -> None:
    """`tuner run`: search each study."""
    from tuner.study_files import read_specs

    flags = {name: value for name, value in vars(args).items() if name not in NO_SPEC_KEYS}
    specs = read_specs(args.study_file, flags)
    if not args.pictures:
        raise UsageError("--pictures is empty; give a folder, or 'none' to keep no pictures")
    quiet()
    quiet_models()
    from tuner.cli import launch

    pictures = None if args.pictures == "none" else Path(args.pictures)
    launch.run_all(specs, console, pictures)


def verify(args: argparse.Namespace, console: Console) -> None:
    """`tuner verify`: re-measure the settings of a file."""
    quiet()
    quiet_models()
    from tuner.params.verify import verify as verify_file

    verify_file(
        args.file,
        report=lambda line: console.print(line, highlight=False, markup=False),
        best_only=args.best,
        changes={name: getattr(args, name) for name in VERIFY_KEYS},
    )


def show(args: argparse.Namespace, console: Console) -> None:
    """`tuner show`: print each study's front and its best setting, or its cost."""
    from tuner.cli.cost import show_costs
    from tuner.cli.show import show as show_studies

    print_studies = show_costs if args.cost else show_studies
    print_studies(_studies(args, console), console)


def export(args: argparse.Namespace, console: Console) -> None:
    """`tuner export`: write `search_params.json`."""
    from tuner.cli.pick import picked_lines
    from tuner.params.write import document, write
    from tuner.picking import checked

    rule = None if args.pick is None else checked(args.pick)
    studies = _studies(args, console)
    contents = document(studies, rule)
    write(args.output, contents)
    for line in picked_lines(contents, args.output):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    count = "1 study" if len(studies) == 1 else f"{len(studies)} studies"
    console.print(f"wrote {args.output} ({count})", highlight=False)


def dashboard(args: argparse.Namespace, console: Console) -> None:
    """`tuner dashboard`: serve optuna-dashboard until Ctrl-C."""
    from tuner.cli.dashboard import check_port, serve
    from tuner.storage.database import Storage

    check_port(args.port)
    storage = Storage(args.storage, create=False)
    console.print(
        f"serving {hidden(args.storage)} on http://127.0.0.1:{args.port}/; press Ctrl-C to stop"
    )
    serve(storage, args.port)


def _studies(args: argparse.Namespace, console: Console) -> list[Any]:
    """The studies named by `--study`, or else all of the database that have a baseline."""
    from tuner.params.write import studies_with_baseline
    from tuner.storage.database import Storage

    quiet()
    storage = Storage(args.storage, create=False)
    names = args.study or storage.study_names()
    if not names:
        raise UsageError(f"{hidden(args.storage)} contains no study; `tuner run` creates one")
    return studies_with_baseline(
        [storage.study(name) for name in names],
        lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True),
        required=bool(args.study),
    )
