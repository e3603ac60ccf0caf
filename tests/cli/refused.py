"""Commands that must be refused: one line, exit code 2, nothing written."""

import gc
from pathlib import Path

import pytest

from tuner.cli.main import main

SMALL = [
    "run",
    "--pipe",
    "miniature",
    "--steps",
    "2",
    "--num-samples",
    "2",
    "--batch-size",
    "2",
    "--trials",
    "1",
]


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files below a folder with their contents, and all folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"folder"
        for path in folder.rglob("*")
    }


class Refused:
    """Runs a command that must be refused and returns the line that it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> str:
        folder = Path.cwd()
        gc.collect()  # closes databases that a test left open, so that their journals go now
        before = snapshot(folder)
        gc.disable()
        try:
            code = main(arguments)
        finally:
            gc.enable()
        captured = self.capsys.readouterr()
        line = captured.err.removesuffix("\n")
        assert code == 2
        assert line.startswith("tuner: ")
        assert "\n" not in line
        assert "Traceback" not in captured.err + captured.out
        assert snapshot(folder) == before
        return line


COMMANDS = pytest.mark.parametrize(
    "command", [SMALL, ["show"], ["export"], ["dashboard"]], ids=lambda command: command[0]
)
