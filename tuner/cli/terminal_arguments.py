"""The arguments of the commands that tell about studies and this machine, and shell completion."""

import argparse
from typing import Any

from tuner.cli import commands

SHOW_HELP = "list the studies, or print a study's Pareto front and best setting, or one trial"
DOCTOR_HELP = "say what this machine has for a search, and what is missing"
SHELLS = ("bash", "zsh", "fish")


def add_show_flags(show: argparse.ArgumentParser) -> None:
    """The arguments of `tuner show`."""
    studies = show.add_argument(
        "studies",
        nargs="*",
        metavar="STUDY",
        help="name of a study, such as SD1.5/DDIM/50 (default: list all studies of the database; "
        "where it has only one, print that)",
    )
    complete_studies(studies)
    named = show.add_argument(
        "--study",
        action="append",
        metavar="STUDY",
        help="another way to name a study, as in `tuner export`; can be given several times",
    )
    complete_studies(named)
    show.add_argument(
        "--trial",
        type=int,
        metavar="N",
        help="print everything about one trial of the study: setting, figures, verdict, cost",
    )
    show.add_argument(
        "--cost",
        action="store_true",
        help="print only what each study has cost: seconds and pictures, by purpose",
    )
    add_json(show, "print the same as one JSON document")
    show.set_defaults(command=commands.show)


def add_doctor_flags(doctor: argparse.ArgumentParser) -> None:
    """The arguments of `tuner doctor`."""
    doctor.description = (
        "Say what this machine has for a search (device, memory, package versions, models, "
        "scorers, database) and what is missing, with the command that gets it. The exit code "
        "is 0 if a search can run, and 1 if not."
    )
    doctor.add_argument(
        "--pipe",
        help="a model, such as SDXL: say whether its weights, its scorer and its prompts are here",
    )
    add_json(doctor, "print the same as one JSON document")
    doctor.set_defaults(command=commands.doctor, is_plain=True)


def add_completion(subparsers: Any) -> None:
    """`tuner completion`."""
    completion = subparsers.add_parser(
        "completion",
        help="print the completion script for a shell",
        description="Print a script that completes commands, flags and names of studies when Tab "
        'is pressed. For bash, put `eval "$(tuner completion bash)"` into ~/.bashrc; for zsh, the '
        "same with zsh into ~/.zshrc after compinit; for fish, run `mkdir -p "
        "~/.config/fish/completions` and `tuner completion fish > "
        "~/.config/fish/completions/tuner.fish`.",
    )
    completion.add_argument("shell", choices=SHELLS, help="the shell: bash, zsh or fish")
    completion.set_defaults(command=commands.completion, is_plain=True)


def add_json(parser: argparse.ArgumentParser, help_text: str) -> None:
    """`--json`: for scripts."""
    parser.add_argument(
        "--json", action="store_true", help=f"{help_text}; lines for people go to standard error"
    )


def complete_studies(argument: argparse.Action) -> None:
    """Have the shell complete the names of the database's studies."""

    def names(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
        from tuner.storage.names import study_names_in

        return study_names_in(parsed_args.storage)

    argument.completer = names  # type: ignore[attr-defined]
