"""The truth tables' latencies: what each kind of step takes, measured again and again.

    python -m bench.search.latency                           # batch 4: minutes
    python -m bench.search.latency --turns 2 --apart a.json  # timings into a file of their own
    python -m bench.search.latency --join a.json,b.json      # of the timings of several processes

A setting's latency is the sum of its steps, of which there are few kinds. Settings that together
do every kind of step of every table are generated in pairs with the baseline, whose steps come by
turns with theirs, and each kind takes the median of all the steps of that kind that were timed, in
units of the baseline's whole latency at that moment. As a check, other settings are timed in pairs
with the baseline as a trial is, and compared with the sums.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from bench.lib.miniature import MODEL, conditions, evaluation_of, quiet
from bench.lib.step_latencies import FILE, Kind, Sums, kinds
from bench.lib.tables import FOLDER, PRODUCTS
from tuner.measure.evaluation import Evaluation
from tuner.plans.plan import Shape, shape_of
from tuner.setting import Setting

BATCH = 4


@dataclass
class Timed:
    """What was timed, in units of the baseline's whole latency at that moment."""

    conditions: list[str]
    kinds: list[tuple[Kind, list[float]]] = field(default_factory=list)  # every step of each kind
    rests: list[float] = field(default_factory=list)

    @classmethod
    def joined(cls, files: Sequence[Path]) -> "Timed":
        """What several processes have timed."""
        times: defaultdict[Kind, list[float]] = defaultdict(list)
        found = cls(conditions=[])
        for file in files:
            one = cls(**json.loads(file.read_text()))
            found.conditions += one.conditions
            found.rests += one.rests
            for kind, shares in one.kinds:
                times[tuple(kind)] += shares
        return cls(conditions=found.conditions, kinds=list(times.items()), rests=found.rests)

    def keep(self) -> None:
        """Each kind's median, where `Sums` reads it."""
        FOLDER.mkdir(exist_ok=True)
        found = [[list(kind), round(float(np.median(shares)), 6)] for kind, shares in self.kinds]
        kept = {"kinds": found, "rest": float(np.median(self.rests))}
        FILE.write_text(json.dumps(kept | {"conditions": "; ".join(sorted(set(self.conditions)))}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--check", type=int, default=40)
    parser.add_argument("--apart", type=Path, help="keep what was timed in this file only")
    parser.add_argument("--join", help="files written with --apart, separated by commas")
    args = parser.parse_args()
    quiet()
    if args.join is not None:
        Timed.joined([Path(one) for one in args.join.split(",")]).keep()
        return
    steps = PRODUCTS[0].steps
    evaluation = evaluation_of("truth", BATCH, steps=steps, batch_size=BATCH)
    shape = shape_of(evaluation.pipeline, MODEL.resolution)
    everything = {
        setting: kinds(setting, shape, steps)
        for wanted in PRODUCTS
        if (wanted.scheduler, wanted.steps) == ("DDIM", steps)
        for setting in wanted.settings(shape)
    }
    timed = time_kinds(evaluation, shape, everything, args.turns)
    if args.apart is not None:
        args.apart.write_text(json.dumps(asdict(timed)))
        return
    timed.keep()
    check(evaluation, list(everything), Sums(shape, steps), args.check)


def time_kinds(
    evaluation: Evaluation, shape: Shape, everything: dict[Setting, list[Kind]], turns: int
) -> Timed:
    """Settings that do every kind of step, in pairs with the baseline."""
    steps = evaluation.steps
    baseline = kinds(Setting(), shape, steps)
    chosen = cover(everything, baseline)
    print(f"{conditions()}; batch {BATCH}, {len(chosen)} settings, {turns} turns", flush=True)
    times: defaultdict[Kind, list[float]] = defaultdict(list)
    rests: list[float] = []
    for turn in range(turns):
        for setting in (Setting(), *chosen):
            without, took = evaluation.pairs.steps(setting)
            rests.append((took.whole - took.denoising) / without.whole)
            for kind, seconds in zip(kinds(setting, shape, steps), took.steps, strict=True):
                times[kind].append(round(seconds / without.whole, 6))
        print(f"turn {turn + 1} done", flush=True)
    return Timed(conditions=[f"{conditions()}, {turns} turns"], kinds=[*times.items()], rests=rests)


def cover(everything: dict[Setting, list[Kind]], known: list[Kind]) -> list[Setting]:
    """Settings that together do every kind of step."""
    missing = {kind for found in everything.values() for kind in found} - set(known)
    chosen = []
    while missing:
        best = max(everything, key=lambda one: len(missing & set(everything[one])))
        chosen.append(best)
        missing -= set(everything[best])
    return chosen


def check(evaluation: Evaluation, settings: list[Setting], sums: Sums, count: int) -> None:
    """Compare the sums with whole generations, each in a pair with the baseline."""
    chosen = np.random.default_rng(0).choice(len(settings), min(count, len(settings)), False)
    measured, summed = [], []
    for index in chosen:
        pairs = (evaluation.pairs.steps(settings[index]) for _ in range(3))
        ratios = [without.whole / took.whole for without, took in pairs]
        measured.append(float(np.median(ratios)))
        summed.append(sums.speedup(settings[index]))
    errors = np.abs(np.array(summed) / np.array(measured) - 1)
    rank = spearmanr(summed, measured).statistic
    print(
        f"sums against {len(chosen)} whole generations (3 pairs each): median error "
        f"{np.median(errors):.1%}, 90 % under {np.quantile(errors, 0.9):.1%}, rank correlation "
        f"{rank:.3f}"
    )


if __name__ == "__main__":
    main()
