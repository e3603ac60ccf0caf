"""The truth tables' latencies: the time of each kind of step, measured many times.

    python -m bench.search.latency                           # batch 4: minutes
    python -m bench.search.latency --turns 2 --apart a.json  # write the timings to another file
    python -m bench.search.latency --join a.json,b.json      # combine timings of several processes

A setting's latency is the sum of its steps, of which there are few kinds. Settings that together
have every kind of step of every table are generated in pairs with the baseline, their steps
interleaved with the baseline's. The latency of a kind is the median over all timed steps of that
kind, in units of the baseline's whole latency at that moment. As a check, other settings are timed
in pairs with the baseline, as in a trial, and compared with the sums.
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
from bench.lib.step_latencies import FILE, Kind, LatencySums, kinds
from bench.lib.tables import FOLDER, PRODUCTS
from tuner.measure.evaluation import Evaluation
from tuner.plans.plan import Shape, shape_of
from tuner.setting import Setting

BATCH = 4


@dataclass
class Timed:
    """Timings, in units of the baseline's whole latency at the moment of each."""

    conditions: list[str]
    kinds: list[tuple[Kind, list[float]]] = field(default_factory=list)  # all steps of each kind
    rests: list[float] = field(default_factory=list)

    @classmethod
    def joined(cls, files: Sequence[Path]) -> "Timed":
        """The timings of several processes together."""
        times: defaultdict[Kind, list[float]] = defaultdict(list)
        whole = cls(conditions=[])
        for file in files:
            part = cls(**json.loads(file.read_text()))
            whole.conditions += part.conditions
            whole.rests += part.rests
            for kind, shares in part.kinds:
                times[tuple(kind)] += shares
        return cls(conditions=whole.conditions, kinds=list(times.items()), rests=whole.rests)

    def write_medians(self) -> None:
        """Write each kind's median to the file that `LatencySums` reads."""
        FOLDER.mkdir(exist_ok=True)
        medians = [[list(kind), round(float(np.median(shares)), 6)] for kind, shares in self.kinds]
        contents = {"kinds": medians, "rest": float(np.median(self.rests))}
        conditions = "; ".join(sorted(set(self.conditions)))
        FILE.write_text(json.dumps(contents | {"conditions": conditions}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--check", type=int, default=40)
    parser.add_argument("--apart", type=Path, help="write the timings to this file only")
    parser.add_argument("--join", help="files written with --apart, separated by commas")
    args = parser.parse_args()
    quiet()
    if args.join is not None:
        Timed.joined([Path(file) for file in args.join.split(",")]).write_medians()
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
    timed.write_medians()
    check(evaluation, list(everything), LatencySums(shape, steps), args.check)


def time_kinds(
    evaluation: Evaluation, shape: Shape, everything: dict[Setting, list[Kind]], turns: int
) -> Timed:
    """Time settings that together have every kind of step, in pairs with the baseline."""
    steps = evaluation.steps
    baseline = kinds(Setting(), shape, steps)
    chosen = cover(everything, baseline)
    print(f"{conditions()}; batch {BATCH}, {len(chosen)} settings, {turns} turns", flush=True)
    times: defaultdict[Kind, list[float]] = defaultdict(list)
    rests: list[float] = []
    for turn in range(turns):
        for setting in (Setting(), *chosen):
            baseline_time, own_time = evaluation.pairs.steps([setting])
            rests.append((own_time.whole - own_time.denoising) / baseline_time.whole)
            for kind, seconds in zip(kinds(setting, shape, steps), own_time.steps, strict=True):
                times[kind].append(round(seconds / baseline_time.whole, 6))
        print(f"turn {turn + 1} done", flush=True)
    return Timed(conditions=[f"{conditions()}, {turns} turns"], kinds=[*times.items()], rests=rests)


def cover(everything: dict[Setting, list[Kind]], known: list[Kind]) -> list[Setting]:
    """Settings that together have every kind of step, those of `known` excepted."""
    missing = {kind for steps in everything.values() for kind in steps} - set(known)
    chosen = []
    while missing:
        best = max(everything, key=lambda setting: len(missing & set(everything[setting])))
        chosen.append(best)
        missing -= set(everything[best])
    return chosen


def check(evaluation: Evaluation, settings: list[Setting], sums: LatencySums, count: int) -> None:
    """Compare the sums with whole generations, each in a pair with the baseline."""
    chosen = np.random.default_rng(0).choice(len(settings), min(count, len(settings)), False)
    measured, summed = [], []
    for index in chosen:
        pairs = (evaluation.pairs.steps(settings[index]) for _ in range(3))
        ratios = [baseline.whole / accelerated.whole for baseline, accelerated in pairs]
        measured.append(float(np.median(ratios)))
        summed.append(sums.speedup(settings[index]))
    errors = np.abs(np.array(summed) / np.array(measured) - 1)
    rank = spearmanr(summed, measured).statistic
    print(
        f"sums against {len(chosen)} whole generations (3 pairs each): median error "
        f"{np.median(errors):.1%}, 90% under {np.quantile(errors, 0.9):.1%}, rank correlation "
        f"{rank:.3f}"
    )


if __name__ == "__main__":
    main()
