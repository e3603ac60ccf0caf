"""Completion in a shell: the scripts, and what they offer."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.stored import NAME
from tests.helpers.simulated import EVALUATION, Bench
from tuner.cli.main import main

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("torch", "diffusers", "optuna", "sqlalchemy", "rich")
PROGRAM = f"""
import os, sys
from tuner.cli.main import main
exit = os._exit
def leave(code):
    heavy = [name for name in {HEAVY} if name in sys.modules]
    sys.stderr.write(f"imported {{heavy}}" if heavy else "")
    sys.stderr.flush()
    exit(code)
os._exit = leave
main()
"""


def offered(line: str, folder: Path) -> list[str]:
    """What is offered at the end of a command line, as a shell asks for it."""
    output = folder / "offered"
    output.touch()
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": "",
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_SHELL": "fish",
            "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(output),
            "_ARGCOMPLETE_IFS": "\n",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
        },
    )
    assert "imported" not in finished.stderr
    return [option.split("\t")[0] for option in output.read_text().splitlines()]


def test_commands_flags_and_studies_are_offered_without_heavy_imports(tmp_path: Path) -> None:
    Bench(tmp_path)
    Bench(tmp_path, EVALUATION | {"guidance": 5})
    studies = [NAME, f"{NAME} guidance=5"]
    assert {"run", "show", "doctor"} <= set(offered("tuner ", tmp_path))
    assert offered("tuner run --sam", tmp_path) == ["--sampler"]
    assert offered("tuner show mini", tmp_path) == studies
    assert offered("tuner export --study ", tmp_path) == studies


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_valid(
    shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["completion", shell]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    assert "tuner" in script.read_text()
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed here")
    subprocess.run([program, "-n", str(script)], check=True, env=dict(os.environ))


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["completion", "tcl"])
    assert caught.value.code == 2
    assert "invalid choice: 'tcl'" in capsys.readouterr().err
