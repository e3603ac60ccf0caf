"""The baseline against itself: how far from 1 is a speedup that is 1?

    python -m bench.speed.steady [--repeat 50]

Each repetition is timed as a trial is: by turns, at batch 4, until the interval is narrow or the
budget is spent. Needs a machine that does nothing else; quote the load that it prints.
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
    found, start = [], time.perf_counter()
    for _ in range(args.repeat):
        turns = PairedTimings(stored_s=latency.latency_s, batch_size=latency.batch_size)
        found.append(evaluation.pairs.until_precise(Setting(), turns))
    seconds = time.perf_counter() - start
    values = [one.speedup.value for one in found]
    halves = [(one.speedup.high - one.speedup.low) / 2 for one in found]
    covered = sum(one.speedup.low <= 1 <= one.speedup.high for one in found)
    pairs = [len(one.ratios) for one in found]
    print(conditions())
    print(
        f"DDIM, {args.steps} steps, batch {latency.batch_size}, {latency.latency_s:.3f} s per "
        f"image; {args.repeat} repetitions in {seconds / 60:.1f} min\n"
    )
    print("| baseline against itself | found | asked |\n|---|---|---|")
    print(f"| median estimate | {median(values):.4f} | 1 ± 0.01 |")
    print(f"| least … greatest | {min(values):.3f} … {max(values):.3f} | 1 ± 0.05 |")
    print(f"| intervals that cover 1 | {covered} of {len(found)} | 86 % |")
    print(f"| median half-width | {median(halves):.4f} | at most 0.02 |")
    print(f"| pairs, mean (most) | {sum(pairs) / len(pairs):.1f} ({max(pairs)}) | |")
    print(f"| called unsteady | {sum(one.unsteady is not None for one in found)} | |")


if __name__ == "__main__":
    main()
