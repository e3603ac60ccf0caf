"""How long does a search take in this version, beside another one on the same machine?

    git worktree add --detach FOLDER 8ee3675^
    python -m bench.speed.versions FOLDER [--trials 100] [--prompts 32] [--steps 50]

`tuner run --pipe miniature` from both folders, started at the same moment and from empty databases,
with one thread each: on two cores each has one. The version that ends first leaves the other one
alone on the machine, which is then faster, so that the ratio is a lower bound where this version
ends first. Both are run with this Python and its packages.
"""

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.lib.miniature import conditions
from tuner.errors import UsageError

FOLDER = Path(__file__).parents[2]
ANSWERED = (0, 1)  # exit codes: a setting met the goal, or none did


class Run:
    """`tuner run` from a version's folder, with a temporary folder of its own."""

    def __init__(self, version: Path, folder: Path, args: argparse.Namespace) -> None:
        """Start it."""
        folder.mkdir()
        self.database = folder / "tuner.db"
        self._log = folder / "log"
        flags = {
            "trials": args.trials,
            "num-samples": args.prompts,
            "steps": args.steps,
            "seed": args.seed,
            "storage": f"sqlite:///{self.database}",
        }
        named = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(version / "cli.py"), "run", "--pipe", "miniature", *named],
                cwd=folder,  # which holds no study file
                stdout=log,
                stderr=subprocess.STDOUT,
                # Runs on one device wait for each other, by a file in the temporary folder.
                env=os.environ | {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1"},
            )
        self._begun, self.seconds = time.monotonic(), 0.0

    def has_ended(self) -> bool:
        """Whether it has ended, which is timed; raises UsageError where it failed."""
        code = self.process.poll()
        if code is not None and not self.seconds:
            self.seconds = time.monotonic() - self._begun
            if code not in ANSWERED:
                last = self._log.read_text().strip().splitlines()[-1:]
                raise UsageError(f"tuner run ended with exit code {code}: {' '.join(last)}")
        return code is not None

    def trials(self) -> tuple[int, int]:
        """The trials that have ended, and those of them that were stopped early."""
        with sqlite3.connect(self.database) as database:
            rows = database.execute("SELECT state, COUNT(*) FROM trials GROUP BY state").fetchall()
        counts = dict(rows)
        stopped = counts.get("PRUNED", 0)
        return counts.get("COMPLETE", 0) + stopped, stopped


def main() -> None:
    args = arguments()
    print(conditions(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            name: Run(version, Path(folder) / name.replace(" ", "-"), args)
            for name, version in (("this version", FOLDER), ("the other one", args.folder))
        }
        try:
            # All are asked each time: the moment at which a run ends is noticed there.
            while sum(run.has_ended() for run in runs.values()) < len(runs):
                time.sleep(0.5)
        finally:
            for run in runs.values():
                run.process.kill()
        print("\n| version | seconds | trials | of these stopped early |\n|---|---|---|---|")
        for name, run in runs.items():
            ended, stopped = run.trials()
            print(f"| {name} | {run.seconds:.0f} | {ended} | {stopped} |")
        ours, theirs = (run.seconds for run in runs.values())
        print(f"\nThe other version takes {theirs / ours:.2f} times as long.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a checkout of the other version")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--prompts", type=int, default=32, help="of a trial")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    return args


if __name__ == "__main__":
    main()
