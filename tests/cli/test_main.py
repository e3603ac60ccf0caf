"""The command line: help, flags, exit codes."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from tuner.cli.arguments import argument_parser
from tuner.cli.main import main
from tuner.errors import UsageError
from tuner.scheduler_table import SCHEDULERS

ROOT = Path(__file__).parent.parent.parent


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    (commands,) = (
        action
        for action in argument_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    parsers: dict[str, argparse.ArgumentParser] = dict(commands.choices)
    return parsers


OPTIONS = [
    (name, action.dest, action) for name, parser in parsers().items() for action in parser._actions
]


def test_every_command_is_known() -> None:
    commands = {"run", "init", "verify", "show", "export", "report", "compare", "dashboard"}
    assert set(parsers()) == commands | {"doctor", "completion", "worker"}


@pytest.mark.parametrize("name", parsers())
def test_every_command_has_a_description(name: str) -> None:
    assert parsers()[name].description


@pytest.mark.parametrize(("command", "dest", "action"), OPTIONS, ids=lambda part: str(part)[:20])
def test_every_option_has_a_help_text(command: str, dest: str, action: argparse.Action) -> None:
    assert action.help, f"`tuner {command}` does not explain {dest}"


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in parsers())])
def test_help_is_printed_with_exit_code_0(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("usage: tuner")


@pytest.mark.parametrize(
    "arguments",
    [[], ["search"], ["run", "--stpes", "3"], ["run", "--steps"], ["run", "--batch-size", "four"]],
    ids=" ".join,
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "--help` lists the " in captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["int"], "unknown command 'int'; did you mean init? `tuner --help` lists the commands"),
        (["foo"], "unknown command 'foo'; `tuner --help` lists the commands"),
        (["run", "--trails", "3"], "did you mean --trials? `tuner run --help` lists the options"),
        (["report", "--bogus"], "tuner report: unknown argument --bogus; `tuner report --help`"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else None,
)
def test_a_name_that_is_not_known_is_answered_by_one_that_is_near(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert words in capsys.readouterr().err


def test_debug_raises_the_error_with_its_traceback() -> None:
    with pytest.raises(UsageError):
        main(["--debug", "run", "--sched", "DIM"])


def test_the_command_line_runs_from_a_clone(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, ROOT / "cli.py", "run", "--sched", "DIM"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert finished.returncode == 2
    assert finished.stdout == ""
    known = ", ".join(SCHEDULERS)
    assert finished.stderr == f"tuner: unknown scheduler 'DIM'; known: {known}\n"
    assert list(tmp_path.iterdir()) == []
