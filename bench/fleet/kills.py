"""Kills over running studies: what is lost, stored twice or left running; nothing should be.

    python -m bench.fleet.kills                       # 200 kills, on SQLite and on PostgreSQL
    python -m bench.fleet.kills --fault freeze --faults 20
    python -m bench.fleet.kills --fault outage --faults 1 --outage 60 --database postgresql

Several workers search a simulated study (`bench.fleet.simulated`), and so does their parent's
replacement when the parent is killed; a new study begins when one has its trials. After the last
fault the study goes on to its end. `kill` is SIGKILL to a worker or a parent at a random moment.
`freeze` is SIGSTOP to a worker for longer than the grace period, and then SIGCONT. `outage` stops
the PostgreSQL server. A witness writes down each trial once its end is stored; the table compares
the database with it.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.fleet.processes import Fleet, Times, Verdict, table_of_another_process, verdict_on
from bench.fleet.simulated import TABLE, SimulatedStudy
from bench.lib.truth_table import TruthTable
from tests.helpers.postgres import PostgreSQL, missing

HEAD = (
    "| database | faults | studies | trials witnessed | lost | double | left running | "
    "studies with a wrong number of trials | taken over |\n|---|---|---|---|---|---|---|---|---|"
)
PARENTS = 0.15  # of the kills hit a parent
GAP_S = (0.2, 2.5)  # between two kills


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What happens to the studies of one database."""

    truth: TruthTable
    fault: str  # 'kill', 'freeze' or 'outage'
    faults: int
    workers: int
    trials: int  # of each study
    seconds: float  # of a trial
    times: Times
    outage_s: float
    seed: int


def main() -> None:
    args = arguments()
    plan = Plan(
        truth=table_of_another_process(args.table),
        fault=args.fault,
        faults=args.faults,
        workers=args.workers,
        trials=args.trials,
        seconds=args.seconds,
        times=Times(beat_s=args.grace / 6, grace_s=args.grace),
        outage_s=args.outage,
        seed=args.seed,
    )
    print(
        f"fault: {args.fault}; {args.workers} workers and their parent, trials of "
        f"{args.seconds:g} s, grace period {args.grace:g} s\n\n{HEAD}",
        flush=True,
    )
    for database in args.database.split(","):
        began = time.monotonic()
        with databases(database) as (new_database, server):
            verdict = run(plan, new_database, server)
        print(row(database, plan.faults, verdict), flush=True)
        print(f"{database}: {time.monotonic() - began:.0f} s", file=sys.stderr)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", default="sqlite,postgresql")
    parser.add_argument("--fault", choices=("kill", "freeze", "outage"), default="kill")
    parser.add_argument("--faults", type=int, default=200, help="how many")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--trials", type=int, default=40, help="of each study")
    parser.add_argument("--seconds", type=float, default=0.3, help="of a trial")
    parser.add_argument("--grace", type=float, default=120.0, help="seconds until a trial is dead")
    parser.add_argument("--outage", type=float, default=60.0, help="seconds without PostgreSQL")
    parser.add_argument("--table", default=TABLE, help="the truth table")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.fault == "outage":
        args.database = "postgresql"
    return args


@contextmanager
def databases(kind: str) -> Iterator[tuple[Callable[[], str], PostgreSQL | None]]:
    """A function that makes a new database and returns its address; the server, if there is one."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            numbers = iter(range(10**6))
            yield (lambda: f"sqlite:///{folder}/tuner{next(numbers)}.db"), None
        return
    reason = missing()
    if reason is not None:
        sys.exit(reason)
    with PostgreSQL() as server:
        yield server.new_database, server


def run(plan: Plan, new_database: Callable[[], str], server: PostgreSQL | None) -> Verdict:
    """Run studies until all faults have happened and the last study has ended."""
    rng = random.Random(plan.seed)
    left, verdicts = plan.faults, list[Verdict]()
    while left > 0 or not verdicts:
        with tempfile.TemporaryDirectory() as folder:
            study = SimulatedStudy(
                storage=new_database(),
                truth=plan.truth,
                trials=plan.trials,
                seconds=plan.seconds,
                sampler="random",
                seed=plan.seed + len(verdicts),
                witness=Path(folder) / "witness",
            )
            fleet = Fleet(
                study=study,
                workers=plan.workers,
                times=plan.times,
                pids=Path(folder) / "pids",
                log=Path(folder) / "log",
            )
            fleet.start()
            try:
                while fleet.keep():
                    time.sleep(rng.uniform(*GAP_S))
                    left -= left > 0 and strike(plan, fleet, server, rng)
            finally:
                fleet.end()
            verdicts.append(verdict_on(study))
            report_errors(fleet.log)
    return sum(verdicts[1:], verdicts[0])


def strike(plan: Plan, fleet: Fleet, server: PostgreSQL | None, rng: random.Random) -> bool:
    """Let one fault happen, if there is something to happen to; whether it did."""
    parents = {parent.pid for parent in fleet.parents}
    alive = fleet.alive()
    workers = [process for process in alive if process.pid not in parents]
    if plan.fault == "outage":
        assert server is not None
        server.stop()
        time.sleep(plan.outage_s)
        server.start()
        return True
    hit = [process for process in alive if process.pid in parents]
    if plan.fault == "freeze" or not hit or rng.random() > PARENTS:
        hit = workers
    if not hit:
        return False
    victim = rng.choice(hit)
    if plan.fault == "kill":
        victim.kill()
    else:
        freeze(victim, plan.times.grace_s)
    return True


def freeze(process: psutil.Process, grace_s: float) -> None:
    """Suspend a process for longer than the grace period."""
    try:
        process.send_signal(signal.SIGSTOP)
        time.sleep(grace_s * 1.5)
        process.send_signal(signal.SIGCONT)
    except psutil.NoSuchProcess:
        return


def report_errors(log: Path) -> None:
    """Print errors that ended a worker, and locked databases: there should be none."""
    lines = log.read_text().splitlines() if log.exists() else []
    for line in lines:
        if line.startswith("ended:") or "does not answer" in line or "locked" in line:
            print(line, file=sys.stderr)


def row(database: str, faults: int, verdict: Verdict) -> str:
    """A row of the table."""
    return (
        f"| {database} | {faults} | {verdict.studies} | {verdict.ended} | {verdict.lost} | "
        f"{verdict.double} | {verdict.running} | {verdict.wrong} | {verdict.taken_over} |"
    )


if __name__ == "__main__":
    main()
