"""Is the speedup of a verified winner right to 2%, beside a long measurement of its own?

    python -m bench.search.live --tables all-DDIM-20 --keep FOLDER
    python -m bench.speed.winners FOLDER [--pairs 48]

Reads the studies of the miniature in the databases of a folder, one study in each. The answer of
each study is timed alone in up to `--pairs` pairs, until its interval is ±0.5%, on the machine that
timed it for the study. Equal settings at the same number of steps are timed once.
"""

import argparse
from math import log
from pathlib import Path
from statistics import median

import optuna

from bench.lib.long_timing import PAIRS, timed_alone
from bench.lib.miniature import conditions, quiet
from tuner.measure.statistics import Estimate, half_width
from tuner.search.goal import Goal
from tuner.study.results import Result, read_results

PROMISED = 0.02  # to which a winner's speedup is timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of a long measurement, at most")
    args = parser.parse_args()
    quiet()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"{conditions()}\n")
    print("| setting | verified speedup (95%) | timed alone (95%) | off by |")
    print("|---|---|---|---|")
    errors, inside = [], 0
    for file in sorted(args.folder.glob("*.db")):
        winner, scheduler, steps = answer(file)
        if winner is None or not winner.verified_now:
            continue
        alone = timed_alone(winner.setting, scheduler, steps, args.pairs)
        errors.append(log(winner.speedup.value / alone.value))
        inside += winner.speedup.low <= alone.value <= winner.speedup.high
        print(
            f"| {winner.setting} | {text(winner.speedup)} | {text(alone)} | {errors[-1]:+.1%} |",
            flush=True,
        )
    if errors:
        within = sum(abs(error) <= PROMISED for error in errors)
        print(
            f"\n{within} of {len(errors)} are within ±{PROMISED:.0%}; off by "
            f"{median(map(abs, errors)):.1%} in the median, {max(map(abs, errors)):.1%} at most; "
            f"{inside} intervals contain the long measurement"
        )


def answer(file: Path) -> tuple[Result | None, str, int]:
    """The answer of the study in a database, if there is one; its scheduler and number of steps."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    study = optuna.load_study(study_name=None, storage=storage)
    request = study.user_attrs["request"]
    winner = Goal.of_request(request).answer(read_results(study))
    return winner, request["sched"], request["steps"]


def text(speedup: Estimate) -> str:
    """A speedup, and half the width of its interval."""
    return f"{speedup.value:.3f}× (±{half_width(speedup):.1%})"


if __name__ == "__main__":
    main()
