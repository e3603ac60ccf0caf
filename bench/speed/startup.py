"""How long do commands take that need no model?

    python -m bench.speed.startup [--repeats 5] [--imports 5]

Each command runs in fresh processes on a copy of a small database: `tuner dashboard` until it says
that it serves, before it imports the server. The CPU's time hardly depends on other work on the
machine, so it is what an idle machine would take. `--imports` also lists the packages that take
longest to import.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.lib.miniature import conditions

ROOT = Path(__file__).parent.parent.parent
DATABASE = ROOT / "tests" / "data" / "version-0.1" / "tuner.db"
# Runs a command, and ends where the dashboard's server would be imported.
PROGRAM = """
import sys
class Server:
    def find_spec(self, name, path=None, target=None):
        if name == "optuna_dashboard":
            sys.exit()
sys.meta_path.insert(0, Server())
from tuner.cli.main import main
sys.exit(main())
"""
COMMANDS = {
    "python -c pass": None,  # the interpreter alone
    "import tuner": None,
    "tuner --help": ["--help"],
    "tuner run --help": ["run", "--help"],
    "tuner show": ["show"],
    "tuner export": ["export"],
    "tuner export --format diffusers": ["export", "--format", "diffusers"],
    "tuner dashboard": ["dashboard", "--port", "8917"],
}
_IMPORT = re.compile(r"import time: +(\d+) \| +\d+ \| +([\w.]+)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--imports", type=int, default=0)
    args = parser.parse_args()
    print(f"{conditions()}; median of {args.repeats}\n")
    print("| command | seconds | seconds of CPU | slowest imports |")
    print("|---|---|---|---|")
    with TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(DATABASE, folder)
        for label, arguments in COMMANDS.items():
            command = ["-c", *(_program(label) if arguments is None else [PROGRAM, *arguments])]
            _timed(command, folder)  # fills the cache of files
            runs = [_timed(command, folder) for _ in range(args.repeats)]
            wall, cpu = (statistics.median(seconds) for seconds in zip(*runs, strict=True))
            slowest = _slowest(command, folder, args.imports)
            print(f"| `{label}` | {wall:.2f} | {cpu:.2f} | {slowest} |", flush=True)


def _program(label: str) -> list[str]:
    return ["pass" if label.startswith("python") else label]


def _timed(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Seconds by the wall clock and of the CPU."""
    before, start = os.times(), time.perf_counter()
    _run(command, folder)
    wall, after = time.perf_counter() - start, os.times()
    user = after.children_user - before.children_user
    return wall, user + after.children_system - before.children_system


def _run(command: Sequence[str], folder: Path) -> str:
    """Run Python in the folder, and return what it prints as errors."""
    finished = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return finished.stderr


def _slowest(command: Sequence[str], folder: Path, count: int) -> str:
    """The packages whose modules take longest to import, with their milliseconds."""
    milliseconds: dict[str, float] = defaultdict(float)
    for microseconds, module in _IMPORT.findall(_run(["-X", "importtime", *command], folder)):
        milliseconds[module.partition(".")[0]] += int(microseconds) / 1000
    packages = sorted(milliseconds, key=lambda package: -milliseconds[package])[:count]
    return ", ".join(f"{package} {milliseconds[package]:.0f} ms" for package in packages)


if __name__ == "__main__":
    main()
