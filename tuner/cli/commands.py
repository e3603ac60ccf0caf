"""The commands: each takes the parsed arguments and calls the library.

Imports stand inside the functions, so that `tuner --help` and invalid flags answer at once.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.cli.printing import print_lines
from tuner.cli.quiet import quiet, quiet_models
from tuner.errors import UsageError
from tuner.formatting import count
from tuner.given_files import json_text
from tuner.passwords import hidden
from tuner.printable import printable, printable_json

if TYPE_CHECKING:
    from rich.console import Console

    from tuner.spec import StudySpec

VERIFY_KEYS = (
    *("num_samples", "max_samples", "device", "scorer_device", "prompts", "model"),
    *("pipeline", "call"),
)


def init(args: argparse.Namespace, console: "Console") -> None:
    """`tuner init`: write a commented study file."""
    from tuner.cli.init import write_study_file

    name = write_study_file(args.file, _study_flags(args))
    print_lines([f"wrote {args.file} ({name}); edit it, then run: tuner run {args.file}"], console)


def run(args: argparse.Namespace, console: "Console") -> None:
    """`tuner run`: search each study."""
    specs, pictures, located = _requested(args)
    from tuner.cli.dry_run import dry_run
    from tuner.cli.events import JsonLines
    from tuner.cli.sweep_arguments import end_files

    search = _search_of(args)
    events = JsonLines(sys.stdout) if args.json else None
    # What libraries print would not be JSON.
    redirected = redirect_stdout(sys.stderr) if args.json else nullcontext()
    with redirected, located:
        if args.dry_run:
            dry_run(specs, console, events, pictures=pictures is not None)
            return
        search(
            specs,
            console=console,
            pictures=pictures,
            lines=events,
            allow_pickle=args.allow_pickle,
            files=end_files(args, len(specs)),
        )


def _search_of(args: argparse.Namespace) -> Callable[..., None]:
    """The function that searches studies with the workers that the flags name."""
    from tuner.cli import launch

    if args.workers is None and args.scheduler is None:
        return launch.run_all
    from tuner.cli.fleet import Fleet, run_fleet

    return partial(run_fleet, fleet=Fleet(workers=args.workers, scheduler=args.scheduler))


def worker(args: argparse.Namespace, console: "Console") -> None:
    """`tuner worker`: work on studies together with other workers."""
    specs, pictures, located = _requested(args)
    from tuner.cli.worker import run_worker

    with located:
        run_worker(specs, console, pictures, allow_pickle=args.allow_pickle)


def _requested(
    args: argparse.Namespace,
) -> tuple[list["StudySpec"], Path | None, AbstractContextManager[None]]:
    """The studies to search, the folder for pictures, and a block that locates errors in files.

    Libraries that load models print nothing from now on.
    """
    from tuner.study_files import locating, read_specs

    flags = _study_flags(args)
    specs = read_specs(args.study_file, flags)
    pictures = _pictures(args)
    quiet()
    quiet_models()
    return specs, pictures, locating(args.study_file, flags)


def _pictures(args: argparse.Namespace) -> Path | None:
    """The folder for pictures; None keeps none."""
    if not args.pictures:
        raise UsageError("--pictures is empty; give a folder, or 'none' to keep no pictures")
    return None if args.pictures == "none" else Path(args.pictures)


def verify(args: argparse.Namespace, console: "Console") -> None:
    """`tuner verify`: re-measure the settings of a file."""
    quiet()
    quiet_models()
    from tuner.params.verify import verify as verify_file

    verify_file(
        args.file,
        report=lambda line: console.print(line, highlight=False, markup=False),
        best_only=args.best,
        changes={name: getattr(args, name) for name in VERIFY_KEYS},
        allow_pickle=args.allow_pickle,
    )


def show(args: argparse.Namespace, console: "Console") -> None:
    """`tuner show`: list the studies, or print fronts, costs or a trial."""
    from tuner.cli.show import request_of, show_json, show_text

    quiet()
    with _reading(args):
        request = request_of(args, lambda line: print_lines([line], console))
        if args.json:
            print_json(show_json(request))
        else:
            show_text(request, console)


def doctor(args: argparse.Namespace) -> int:
    """`tuner doctor`: what this machine has, and what is missing; 1 if a search cannot run."""
    from tuner.cli.diagnosis import report
    from tuner.doctor.examine import can_search, examine, findings_as_json

    findings = examine(args.storage, args.pipe)
    if args.json:
        print_json(findings_as_json(findings))
    else:
        print(printable("\n".join(report(findings, args.pipe))))
    return 0 if can_search(findings) else 1


def completion(args: argparse.Namespace) -> None:
    """`tuner completion`: print the script for a shell."""
    import argcomplete

    print(argcomplete.shellcode(["tuner"], shell=args.shell))


def export(args: argparse.Namespace, console: "Console") -> None:
    """`tuner export`: write `search_params.json`, or a script for one study."""
    from tuner.cli.arguments import PARAMS, SCRIPT
    from tuner.cli.pick import picked_lines
    from tuner.params.write import document, text_of, write_text
    from tuner.picking import checked

    rule = None if args.pick is None else checked(args.pick)
    output = args.output or (SCRIPT if args.format == "diffusers" else PARAMS)
    with _reading(args):
        contents = document(_studies(args, console), rule)
        studies = contents["studies"]
        text = text_of(contents)  # refuses damaged values, which must not be in a script either
        write_text(output, _script(studies) if args.format == "diffusers" else text)
    written = f"wrote {output} ({count(len(studies), 'study', 'studies')})"
    print_lines([*picked_lines(contents, output), written], console)


def _script(studies: dict[str, Any]) -> str:
    """The script for the only one of the exported studies."""
    from tuner.params.as_diffusers import script

    if len(studies) > 1:
        raise UsageError(
            f"--format diffusers writes one study; name it with --study: {', '.join(studies)}"
        )
    ((name, study),) = studies.items()
    return script(name, study)


def report(args: argparse.Namespace, console: "Console") -> None:
    """`tuner report`: write studies as one HTML page."""
    from tuner.report.write import write_report

    with _reading(args):
        studies = _studies(args, console)
        written = write_report(studies, args.output, csv=args.csv, figures=args.figures)
    places = ", ".join(str(place) for place in written)
    print_lines([f"wrote {places} ({count(len(studies), 'study', 'studies')})"], console)


def compare(args: argparse.Namespace, console: "Console") -> None:
    """`tuner compare`: draw trials of a study below its baseline."""
    quiet()
    from tuner.cli.compare import compare as write_comparison
    from tuner.storage.database import Storage

    with _reading(args):
        storage = Storage(args.storage, create=False)
        write_comparison(storage, args.study, args.trials, args.prompts, args.output)
    print_lines([f"wrote {args.output}"], console)


def dashboard(args: argparse.Namespace, console: "Console") -> None:
    """`tuner dashboard`: serve optuna-dashboard until Ctrl-C."""
    from tuner.cli.trust_arguments import OPEN_WARNING, is_loopback
    from tuner.dashboard.serve import check_address, serve
    from tuner.storage.database import Storage

    host, port = args.host, args.port
    with _reading(args):
        storage = Storage(args.storage, create=False)
        storage.study_names()  # so that a damaged database is refused before a browser asks
    check_address(host, port)
    if not is_loopback(host):
        print(OPEN_WARNING.format(host=host, port=port), file=sys.stderr)
    shown = f"[{host}]" if ":" in host else host
    print_lines(
        [f"serving {hidden(args.storage)} on http://{shown}:{port}/; press Ctrl-C to stop"], console
    )
    serve(storage, host, port)


def print_json(document: dict[str, Any]) -> None:
    """Print a JSON document to standard output."""
    print(printable_json(json_text(document, indent=2, ensure_ascii=False)))


def _study_flags(args: argparse.Namespace) -> dict[str, Any]:
    """The flags that are keys of study files, with their values; None if not given."""
    from tuner.study_files import KEYS

    return {name: value for name, value in vars(args).items() if name in KEYS}


def _reading(args: argparse.Namespace) -> AbstractContextManager[None]:
    """Says in one line where a database holds what the tuner cannot read."""
    from tuner.storage.reading import reading

    return reading(args.storage)


def _studies(args: argparse.Namespace, console: "Console") -> list[Any]:
    """The studies named by `--study`, or else all of the database that have a baseline."""
    from tuner.cli.studies import names_of_studies
    from tuner.params.write import studies_with_baseline
    from tuner.storage.database import Storage

    quiet()
    storage = Storage(args.storage, create=False)
    names = args.study or names_of_studies(storage, args.storage)
    return studies_with_baseline(
        [storage.study(name) for name in names],
        lambda line: print_lines([line], console),
        required=bool(args.study),
    )
