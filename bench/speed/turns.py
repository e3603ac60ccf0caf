"""Interleaved steps or interleaved batches: with which do the ratios of pairs scatter less?

    python -m bench.speed.turns [--pairs 12]

The baseline and five settings are timed in pairs with the baseline, alternately in both ways. Both
must give the same speedup; only the scatter of the pairs differs. Where torch uses one thread, the
ratios are those of the thread's own time; beside their scatter stands that of the same pairs by the
wall clock.
"""

import argparse

import numpy as np

from bench.lib.miniature import conditions, evaluation_of, quiet
from bench.speed.loaded import SETTINGS
from tuner.measure.interleave import interleaved, one_by_one
from tuner.measure.paired_timing import PairedTimings
from tuner.setting import Setting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=12)
    args = parser.parse_args()
    quiet()
    evaluation = evaluation_of("search", 32)
    ways = {"steps interleaved": interleaved, "batches interleaved": one_by_one}
    print(f"{conditions()}; {args.pairs} pairs each, batches of {evaluation.batch_size}\n")
    print("| setting | interleaving | speedup (95%) | scatter of a pair | by the wall clock |")
    print("|---|---|---|---|---|")
    for setting in (Setting(), *SETTINGS):
        evaluation.pairs.steps([setting])  # warm-up
        empty = PairedTimings(stored_s=1.0, batch_size=evaluation.batch_size)
        timings = dict.fromkeys(ways, empty)
        for _ in range(args.pairs):
            for name, way in ways.items():
                _, _, timings[name] = evaluation.pairs.pair(
                    setting, evaluation.batches()[0], timings[name], way
                )
        for name, pairs in timings.items():
            speedup, scatter = pairs.speedup, np.log(pairs.ratios).std(ddof=1)
            sides = zip(pairs.baseline, pairs.accelerated, strict=True)
            by_wall = np.log([a.elapsed / b.elapsed for a, b in sides]).std(ddof=1)
            print(
                f"| {setting if setting.accelerators else 'baseline'} | {name} "
                f"| {speedup.value:.3f}× ({speedup.low:.3f} … {speedup.high:.3f}) "
                f"| {scatter:.1%} | {by_wall:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
