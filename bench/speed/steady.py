"""The baseline against itself: how far from 1 is a measured speedup whose true value is 1?

    python -m bench.speed.steady [--repeat 50]

Each repetition is timed as in a trial: interleaved, at batch 4, until the interval is narrow or the
maximum number of pairs is reached. The machine must do nothing else; quote the printed load.
"""

import argparse
import time
from statistics import median

from bench.lib.miniature import conditions, evaluation_of, quiet
from tuner.measure.baseline_store import InMemoryStore
from tuner.measure.paired_timing import PairedTimings
from tuner.setting import Setting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=50)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    quiet()
    evaluation = evaluation_of("search", 32, steps=args.steps)
    _, latency = evaluation.baseline(InMemoryStore())
    timings, start = [], time.perf_counter()
    for _ in range(args.repeat):
        turns = PairedTimings(stored_s=latency.latency_s, batch_size=latency.batch_size)
        timings.append(evaluation.pairs.until_precise(Setting(), turns))
    seconds = time.perf_counter() - start
    speedups = [timing.speedup for timing in timings]
    values = [speedup.value for speedup in speedups]
    halves = [(speedup.high - speedup.low) / 2 for speedup in speedups]
    covered = sum(speedup.low <= 1 <= speedup.high for speedup in speedups)
    pairs = [len(timing.ratios) for timing in timings]
    print(conditions())
    print(
        f"DDIM, {args.steps} steps, batch {latency.batch_size}, {latency.latency_s:.3f} s per "
        f"image; {args.repeat} repetitions in {seconds / 60:.1f} min\n"
    )
    print("| baseline against itself | measured | required |\n|---|---|---|")
    print(f"| median estimate | {median(values):.4f} | 1 ± 0.01 |")
    print(f"| least … greatest | {min(values):.3f} … {max(values):.3f} | 1 ± 0.05 |")
    print(f"| intervals that cover 1 | {covered} of {len(timings)} | 86% |")
    print(f"| median half-width | {median(halves):.4f} | at most 0.02 |")
    print(f"| pairs, mean (most) | {sum(pairs) / len(pairs):.1f} ({max(pairs)}) | |")
    print(f"| called unsteady | {sum(timing.unsteady is not None for timing in timings)} | |")


if __name__ == "__main__":
    main()
