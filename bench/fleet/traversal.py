"""What does a sweep of related studies cost, compared with the same studies started cold?

    python -m bench.fleet.traversal [--sched DDIM,DPM-Solver++,UniPC] [--steps 20,25,50]
        [--req-speedup 3 | --min-gain 0.002] [--num-samples 32] [--trials 100] [--workers 2]

Sweep: the studies of the miniature in one database, searched by several workers, which are stopped
twice (killed when a third of the studies are complete, interrupted by Ctrl-C at two thirds) and
started again by the same command. Cold: each study in a database of its own, by a process of its
own; as many run at the same time, on the same cores, so that both meet the same machine. Each study
ends with a verified setting that is `--req-speedup` times as fast as the baseline; or, with
`--min-gain`, once no setting is expected to be faster by that share. The device seconds are those
that the runs stored with the studies, loading included; the processor seconds are those of the
processes, which depend less on other work on the machine, and the pictures do not depend on it.
`--small` has few steps, small pictures and two schedulers, and its studies end at a low target.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from bench.lib.miniature import conditions, quiet
from tuner.cli.arguments import argument_parser
from tuner.fleet.needs import needs_of
from tuner.measure.account import Account, Purpose
from tuner.params.read import read
from tuner.search.goal import Goal
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.study.costs import read_costs
from tuner.study.results import read_results
from tuner.study_files import KEYS, read_specs

ROOT = Path(__file__).parents[2]
POLL_S = 0.5
SMALL = ["--sched", "DDIM,UniPC", "--steps", "4,5", "--resolution", "32", "--num-samples", "4"]
SMALL += ["--trials", "5", "--req-speedup", "1.2", "--req-score-loss", "0.99"]


@dataclass(kw_only=True)
class Cost:
    """What some runs have cost."""

    device_s: dict[str, float] = field(default_factory=dict)  # by study
    trials: dict[str, int] = field(default_factory=dict)
    speedups: dict[str, float] = field(default_factory=dict)  # of the fastest that held
    processor_s: float = 0.0
    account: Account = field(default_factory=Account)  # of all studies

    @property
    def pictures(self) -> int:
        """For every purpose."""
        return sum(self.account.pictures.values())

    def read(self, storage: Storage) -> None:
        """Take in the studies of a database."""
        for name in storage.study_names():
            study = storage.study(name)
            costs, results = read_costs(study), read_results(study)
            self.device_s[name] = costs.total.total_s
            self.trials[name] = len(costs.trials)
            self.account.include(costs.total)
            goal = Goal.of_request(study.user_attrs["request"])
            held = (result.verified for result in results if goal.holds(result))
            self.speedups[name] = max((v.speedup.value for v in held if v), default=1.0)


class Runs:
    """Runs of `tuner run` in a folder, and the processor seconds that they took."""

    def __init__(self, folder: Path, flags: Sequence[str]) -> None:
        self._folder, self._flags = folder, list(flags)
        self.processor_s = 0.0

    def start(self, count: int) -> list[subprocess.Popen[bytes]]:
        """Start so many workers, each with cores of its own."""
        return [self.start_one(number, count) for number in range(count)]

    def start_one(self, number: int, count: int, *more: str) -> subprocess.Popen[bytes]:
        """Start one of so many workers, with more flags."""
        cores = sorted(os.sched_getaffinity(0))
        return subprocess.Popen(
            [sys.executable, str(ROOT / "cli.py"), "run", *self._flags, *more],
            cwd=self._folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=(self._folder / f"worker{number}.log").open("ab"),
            stderr=subprocess.STDOUT,
            preexec_fn=_on_cores(cores[number % len(cores) :: count]),
        )

    def end(self, processes: Sequence[subprocess.Popen[bytes]]) -> list[int]:
        """Wait for processes; their exit codes."""
        codes = []
        for process in processes:
            _, status, usage = os.wait4(process.pid, 0)
            self.processor_s += usage.ru_utime + usage.ru_stime
            process.returncode = os.waitstatus_to_exitcode(status)
            codes.append(process.returncode)
        return codes


def _on_cores(cores: Sequence[int]) -> Callable[[], None]:
    def begin() -> None:
        os.sched_setaffinity(0, cores)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    return begin


def main() -> None:
    args = arguments()
    quiet()
    flags = flags_of(args)
    print(f"{conditions()}; {' '.join(flags)}; {args.workers} workers\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(args.folder or folder)
        in_a_sweep = run_sweep(place / "sweep", flags, args.workers)
        started_cold = run_cold(place / "cold", flags, args.workers)
        print("\n".join(table(started_cold, in_a_sweep)))
        document = read(place / "sweep" / "search_params.json")
        missing = started_cold.device_s.keys() - document["studies"].keys()
        print(f"\nsearch_params.json: {len(document['studies'])} studies, missing: {len(missing)}")
        sys.exit(bool(missing))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sched", default="DDIM,DPM-Solver++,UniPC")
    parser.add_argument("--steps", default="20,25,50")
    parser.add_argument("--num-samples", default="32")
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument("--req-speedup", default="3")
    ends.add_argument("--min-gain")
    parser.add_argument("--trials", default="100", help="at most, of each study")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", help="an empty folder that keeps the databases")
    parser.add_argument("--small", action="store_true", help="a few minutes in all")
    return parser.parse_args()


def flags_of(args: argparse.Namespace) -> list[str]:
    """The flags of `tuner run`."""
    fixed = ["--pipe", "miniature", "--device", "cpu", "--no-reference", "--pictures", "none"]
    if args.small:
        return [*fixed, *SMALL]
    end = "req_speedup" if args.min_gain is None else "min_gain"
    names = ("sched", "steps", "num_samples", end, "trials")
    chosen = [(f"--{name.replace('_', '-')}", getattr(args, name)) for name in names]
    return [*fixed, *(part for pair in chosen for part in pair)]


def run_cold(folder: Path, flags: Sequence[str], workers: int) -> Cost:
    """Each study in a database of its own; as many at the same time as the sweep has workers."""
    folder.mkdir()
    runs, cost = Runs(folder, flags), Cost()
    free, storages = SimpleQueue[int](), []
    for number in range(workers):
        free.put(number)

    def search(spec: StudySpec) -> None:
        storage = f"sqlite:///{folder / f'{spec.sched}-{spec.steps}.db'}"
        storages.append(storage)
        more = ["--sched", str(spec.sched), "--steps", str(spec.steps), "--storage", storage]
        number = free.get()
        runs.end([runs.start_one(number, workers, *more)])
        free.put(number)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(search, specs_of(flags)))
    for storage in storages:
        cost.read(Storage(storage, create=False))
    cost.processor_s = runs.processor_s
    return cost


def run_sweep(folder: Path, flags: Sequence[str], workers: int) -> Cost:
    """All studies in one database; stopped twice, and started again."""
    folder.mkdir()
    storage = f"sqlite:///{folder / 'tuner.db'}"
    runs, began = Runs(folder, [*flags, "--storage", storage]), time.monotonic()
    for share, sign in ((1 / 3, signal.SIGKILL), (2 / 3, signal.SIGINT), (1.0, None)):
        processes = runs.start(workers)
        if sign is not None:
            wait_until(processes, complete(flags, storage), share)
            for process in processes:
                os.kill(process.pid, sign)  # which, unlike `send_signal`, does not reap it
        runs.end(processes)
        print(f"{share:.0%} after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    cost = Cost(processor_s=runs.processor_s)
    cost.read(Storage(storage, create=False))
    return cost


def complete(flags: Sequence[str], storage: str) -> Iterator[float]:
    """The share of the studies that are complete, again and again."""
    specs = specs_of(flags)
    file = Path(storage.removeprefix("sqlite:///"))
    while True:
        found = needs_of(specs, Storage(storage, create=False)) if file.exists() else []
        yield sum(needs.complete for needs in found) / len(specs)


def specs_of(flags: Sequence[str]) -> list[StudySpec]:
    """The studies of a command line."""
    parsed = vars(argument_parser().parse_args(["run", *flags]))
    return read_specs(None, {name: value for name, value in parsed.items() if name in KEYS})


def wait_until(
    processes: Sequence[subprocess.Popen[bytes]], shares: Iterator[float], share: float
) -> None:
    """Wait until a share of the studies is complete, or a worker has ended."""
    while next(shares) < share and not any(map(has_ended, processes)):
        time.sleep(POLL_S)


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process has ended; its processor time can still be asked for."""
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, options) is not None


def table(cold: Cost, sweep: Cost) -> Iterator[str]:
    """The lines of the table."""
    yield "| study | cold: device s | trials | fastest | sweep: device s | trials | fastest |"
    yield "|---|---|---|---|---|---|---|"
    for name in cold.device_s:
        cells = [
            f"{each.device_s.get(name, 0):.0f} | {each.trials.get(name, 0)} | "
            f"{each.speedups.get(name, 1):.2f}×"
            for each in (cold, sweep)
        ]
        yield f"| {name} | {' | '.join(cells)} |"
    totals = [sum(each.device_s.values()) for each in (cold, sweep)]
    yield f"| all | {totals[0]:.0f} | | | {totals[1]:.0f} | | |"
    yield f"| pictures | {cold.pictures} | | | {sweep.pictures} | | |"
    yield f"| processor seconds | {cold.processor_s:.0f} | | | {sweep.processor_s:.0f} | | |"
    yield ""
    yield "| purpose | cold: device s | pictures | sweep: device s | pictures |"
    yield "|---|---|---|---|---|"
    for purpose in Purpose:
        cells = [
            f"{each.account.seconds.get(purpose, 0):.0f} | {each.account.pictures.get(purpose, 0)}"
            for each in (cold, sweep)
        ]
        yield f"| {purpose.value} | {' | '.join(cells)} |"
    yield ""
    yield (
        f"sweep / cold: {totals[1] / totals[0]:.2f} of the device seconds, "
        f"{sweep.processor_s / cold.processor_s:.2f} of the processor seconds, "
        f"{sweep.pictures / cold.pictures:.2f} of the pictures"
    )


if __name__ == "__main__":
    main()
