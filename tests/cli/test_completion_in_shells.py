"""Tab in a real shell, with the lines that docs/terminal.md tells people to write.

Each shell runs on a pseudo-terminal, in which a line is typed with a Tab and Enter. In place of the
tuner's work a program of the same name notes the arguments that the shell gave it.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.stored import NAME
from tests.documents.markdown import DOCS, ROOT, blocks
from tests.helpers.simulated import EVALUATION, Bench

pytestmark = pytest.mark.slow

PROGRAM = f"""#!{sys.executable}
import os, sys
sys.path.insert(0, {str(ROOT)!r})
if "_ARGCOMPLETE" in os.environ or sys.argv[1:2] == ["completion"]:
    from tuner.cli.main import main
    raise SystemExit(main())
with open({{noted!r}} + ".part", "w") as file:
    file.write("\\n".join(sys.argv[1:]))
os.replace({{noted!r}} + ".part", {{noted!r}})
"""
STARTS = {  # the command that starts each shell, and where it reads the line of the page
    "bash": (["bash", "--rcfile", ".bashrc", "-i"], ".bashrc", ""),
    "zsh": (["zsh", "-i"], ".zshrc", "autoload -Uz compinit && compinit -u\n"),
    "fish": (["fish", "-i"], ".config/fish/config.fish", ""),
}
TERMINAL = "import pty, sys; pty.spawn(sys.argv[1:])"  # its terminal is the shell's own
PATIENCE_S = 120  # on a busy machine


def line_of_the_page(shell: str) -> str:
    (line,) = [
        line
        for _, text in blocks(DOCS / "terminal.md", "sh")
        for line in text.splitlines()
        if f"tuner completion {shell}" in line
    ]
    return line


def entered(shell: str, typed: str, folder: Path) -> list[str]:
    """The arguments that `tuner` is given when a line is typed in a shell."""
    command, start, before = STARTS[shell]
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    noted = folder / "noted"
    program = folder / "bin" / "tuner"
    program.parent.mkdir(exist_ok=True)
    program.write_text(PROGRAM.format(noted=str(noted)))
    program.chmod(0o755)
    (folder / start).parent.mkdir(parents=True, exist_ok=True)
    env = {"HOME": str(folder), "ZDOTDIR": str(folder), "TERM": "xterm"}
    env |= {"PATH": f"{program.parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    line = line_of_the_page(shell)
    if shell == "fish":  # its line writes a file, and is typed once
        (folder / ".config" / "fish" / "completions").mkdir(parents=True, exist_ok=True)
        subprocess.run(["sh", "-c", line], cwd=folder, env=env, check=True)
    else:
        (folder / start).write_text(f"{before}{line}\n")
    with subprocess.Popen(
        [sys.executable, "-c", TERMINAL, *command],
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        shown = process.stdout.read1()  # the prompt
        process.stdin.write(f"{typed}\t\r".encode())
        process.stdin.flush()
        begun = time.monotonic()
        while not noted.exists() and time.monotonic() - begun < PATIENCE_S:
            time.sleep(0.1)
        process.stdin.write(b"exit\r")
        shown += process.communicate(timeout=PATIENCE_S)[0]
    assert noted.exists(), shown.decode(errors="replace")
    return noted.read_text().splitlines()


@pytest.mark.parametrize("shell", STARTS)
def test_tab_completes_a_flag(shell: str, tmp_path: Path) -> None:
    assert entered(shell, "tuner run --sampl", tmp_path) == ["run", "--sampler"]


@pytest.mark.parametrize("shell", STARTS)
def test_tab_completes_the_name_of_a_study_as_one_argument(shell: str, tmp_path: Path) -> None:
    Bench(tmp_path)
    Bench(tmp_path, EVALUATION | {"guidance": 5})
    typed = f"tuner show {NAME}\\ gui"
    assert entered(shell, typed, tmp_path) == ["show", f"{NAME} guidance=5"]
