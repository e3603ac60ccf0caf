"""Every flag of every command with every kind of rubbish."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.cli.stored import searched
from tests.fuzz.bounds import INPUTS, fuzz
from tests.fuzz.commands import run
from tests.fuzz.hostile import TEXTS
from tuner.cli.arguments import argument_parser
from tuner.cli.main import main

INSIDE = [text for text in TEXTS if "/" not in text]  # names of files, of which none is elsewhere
NUMBERS = ["0", "-1", "1", "2", "1e999", "nan", "9" * 30, "9" * 5000, "0x10", "١٢", "1_000", "2.5"]
WORDS = ["DDIM", "miniature", "deepcache,tome", "lpips=0.2", "lpips=", "=", ",", "none", ":", "a:b"]
ADDRESSES = [
    "sqlite://",
    "sqlite:///",
    "sqlite:////proc/self/mem",
    "mysql://h/x",
    "://",
    "x://[",
    ".",
]
NOT_FUZZED = ("--help", "--debug")  # `--debug` shows tracebacks


def flags_of(command: argparse.ArgumentParser) -> list[tuple[str, list[str]]]:
    """Each flag of a command with values for it; '' stands for an argument without a flag."""
    flags: list[tuple[str, list[str]]] = []
    for action in command._actions:
        values = [*NUMBERS, *WORDS, *ADDRESSES, *TEXTS]
        if action.type is Path or action.dest == "pictures":
            values = [*INSIDE, *WORDS, "."]
        if action.nargs == 0:
            values = [""]
        names = [name for name in action.option_strings if name not in NOT_FUZZED]
        if names or not action.option_strings:
            flags.append((names[-1] if names else "", values))
    return flags


def parsers() -> dict[str, argparse.ArgumentParser]:
    (commands,) = (
        action
        for action in argument_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return dict(commands.choices)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    name, parser = draw(st.sampled_from(sorted(parsers().items(), key=lambda pair: pair[0])))
    arguments = [name]
    if name == "compare":
        arguments += ["miniature/DDIM/50", "--trials", "0,1"]
    for flag, values in draw(st.lists(st.sampled_from(flags_of(parser)), max_size=3)):
        value = draw(st.one_of(st.sampled_from(values), st.text(max_size=8).filter(_is_inside)))
        if values == [""]:
            arguments.append(flag)
        elif flag:
            arguments.append(f"{flag}={value}" if flag.startswith("--") else f"{flag}{value}")
        else:
            arguments.append(value)
    return arguments


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with a database; what would run for long ends at once."""
    outside = tmp_path_factory.mktemp("outside")
    folder = outside / "work"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("tuner.cli.launch.run_all", _nothing)
        patch.setattr("optuna_dashboard.run_server", _nothing)
        searched(folder)
        for command in (["run"], ["init", "a"], ["export"], ["report"], ["doctor"], ["verify"]):
            main(command)  # imports are no part of a command's bounds
        yield folder
    assert [path.name for path in outside.iterdir()] == ["work"]


@INPUTS
def test_any_command_line_works_or_is_refused_in_one_line(inputs: int, folder: Path) -> None:
    fuzz(inputs, command_lines(), lambda arguments: _run(folder, arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "--trial", "9" * 30],
        ["export", "--pick", "trial " + "9" * 5000],
        ["export", "--pick", "a" + " " * 50_000],
        ["run", "--steps", "9" * 5000],
        ["run", "--limit", "lpips=1e999"],
        ["run", "--model", "x" * 5000],
        ["show", "--storage", "x" * 5000],
        ["show", "\x1b[31m"],
        ["report", "-o", "x" * 5000],
        ["dashboard", "--host", "nowhere.invalid", "--port", "0"],
        ["dashboard", "--host", "a\0b"],
    ],
    ids=lambda arguments: " ".join(arguments)[:30],
)
def test_command_lines_that_must_be_refused(arguments: list[str], folder: Path) -> None:
    assert _run(folder, arguments)[0] == 2


def _run(folder: Path, arguments: list[str]) -> tuple[int, str, str]:
    for file in folder.iterdir():
        if file.is_file() and not file.name.startswith("tuner.db"):
            file.unlink()
    return run(arguments)


def _nothing(*arguments: Any, **options: Any) -> None:
    """Stands for a search and for a server, which end with the tests."""


def _is_inside(text: str) -> bool:
    return "/" not in text and ".." not in text
