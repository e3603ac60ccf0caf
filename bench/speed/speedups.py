"""Which interval of a speedup has its nominal coverage, if pairs are added until it is narrow?

    python -m bench.speed.speedups [--draws 2000]

Pairs of latencies are drawn with a known speedup, with noise of several kinds and sizes. As in a
trial, pairs are added until the interval is within ±2%, from three up to twelve. The table has the
share of intervals that contain the true speedup, the median half-width and the mean number of
pairs.

- t: a t interval for the mean, centred at the median
- t, median: the same with the median's standard error, √(π/2) times the mean's
- signed ranks: the latter below six pairs, Wilcoxon's from six on (ours, `statistics.speedup`)
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy.stats import t as student

from tuner.measure import statistics

LEAST, MOST, NARROW = 3, 12, 0.02
Ends = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=2000)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"| noise of a latency | {' | '.join(INTERVALS)} |\n|---|{'---|' * len(INTERVALS)}")
    for kind, size in (
        ("normal", 0.003),
        ("normal", 0.01),
        ("normal", 0.02),
        ("normal", 0.04),
        ("heavy tails", 0.01),
        ("heavy tails", 0.03),
        ("delays", 0.005),
        ("delays", 0.015),
    ):
        draws = [noise(rng, kind, size) for _ in range(args.draws)]
        cells = [cell(interval, draws) for interval in INTERVALS.values()]
        print(f"| {kind}, {size:.1%} | {' | '.join(cells)} |")


def noise(rng: np.random.Generator, kind: str, size: float) -> np.ndarray:
    """Logarithms of the ratios of twelve pairs; the true one is zero."""
    both = rng.normal(0, size, (2, MOST))
    if kind == "heavy tails":
        both = rng.standard_t(3, (2, MOST)) * size / 3**0.5
    if kind == "delays":  # one batch in ten, by a quarter of its time on average
        both += (rng.random((2, MOST)) < 0.1) * rng.exponential(0.25, (2, MOST))
    logs: np.ndarray = both[0] - both[1]
    return logs


def cell(interval: Callable[[np.ndarray], Ends], draws: list[np.ndarray]) -> str:
    """Coverage, half-width and pairs of one kind of interval."""
    held, halves, pairs = 0, [], []
    for logs in draws:
        for count in range(LEAST, MOST + 1):
            low, high = interval(logs[:count])
            if (high - low) / 2 <= NARROW:
                break
        held += low <= 0 <= high
        halves.append((high - low) / 2)
        pairs.append(count)
    return f"{held / len(draws):.1%}, ±{np.median(halves):.1%}, {np.mean(pairs):.1f} pairs"


def of_mean(logs: np.ndarray, factor: float = 1.0) -> Ends:
    """A t interval about the median."""
    error = logs.std(ddof=1) / len(logs) ** 0.5 * factor
    half = student.ppf(0.5 + statistics.CONFIDENCE / 2, len(logs) - 1) * error
    return float(np.median(logs) - half), float(np.median(logs) + half)


def ours(logs: np.ndarray) -> Ends:
    """The interval that a trial has."""
    speedup = statistics.speedup(list(np.exp(logs)))
    return float(np.log(speedup.low)), float(np.log(speedup.high))


INTERVALS: dict[str, Callable[[np.ndarray], Ends]] = {
    "t": of_mean,
    "t, median": lambda logs: of_mean(logs, (np.pi / 2) ** 0.5),
    "signed ranks": ours,
}


if __name__ == "__main__":
    main()
