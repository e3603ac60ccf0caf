"""How often does a verification hold, by how much the setting truly loses?

    python -m bench.search.verdicts [--tables tgate-DDIM-20] [--draws 400]

The rule is that of `tuner run`: from 32 up to 128 prompts, until the verdict is settled; where it
never is, the mean over all of them decides. Verifications of the faster half of a truth table's
settings are simulated, each on prompts drawn from the table with replacement, so that the loss on
all prompts of the table is the true one. "Likely" are those that hold and whose verdict is sure or
likely, as `search_params.json` says it. "Within the interval" is how often the interval of a
verification contains the true loss.
"""

import argparse
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from bench.lib.miniature import quiet
from bench.lib.table_costs import BATCH, PROMPTS
from bench.lib.table_search import LIMITS
from bench.lib.tables import PRODUCTS
from bench.lib.truth_table import LIMIT, TruthTable
from tuner.measure import statistics
from tuner.measure.figures import Figures
from tuner.measure.statistics import Estimate
from tuner.search.runner.stopping import StoppingRule

MOST = 4 * PROMPTS  # of a verification, as by default
BANDS = (0.0, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.06)
TIMED = Estimate(value=2.0, low=2.0, high=2.0)  # a speedup that is known


def main() -> None:
    args = arguments()
    quiet()
    print(f"limit {LIMIT:.0%}, {args.draws} verifications for each row\n")
    print("| table | true loss | holds | likely | prompts: mean | within the interval |")
    print("|---|---|---|---|---|---|")
    for product in PRODUCTS:
        if product.file.exists() and product.file.stem in args.tables.split(","):
            for line in lines(TruthTable.of(product), args.draws):
                print(line, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", default="tgate-DDIM-20,deepcache-tome-DDIM-20,all-DDIM-20")
    parser.add_argument("--draws", type=int, default=400)
    return parser.parse_args()


def lines(truth: TruthTable, draws: int) -> Iterator[str]:
    """A line for each range of true losses in which the table has settings."""
    losses = truth.table.losses
    is_fast = truth.speedups >= np.median(truth.speedups)
    rng = np.random.default_rng(0)
    for low, high in pairwise(BANDS):
        rows = np.flatnonzero((losses >= low) & (losses < high) & is_fast)
        if not len(rows):
            continue
        held = likely = prompts = covered = 0
        for row in rng.choice(rows, draws):
            verified = verification(truth, row, rng)
            loss = verified.score_loss
            holds = loss.value < LIMIT
            held += holds
            likely += holds and LIMITS.certainty(loss, {}) != "unsure"
            prompts += verified.prompts
            covered += loss.low <= losses[row] <= loss.high
        yield (
            f"| {truth.product.file.stem} | {low:.1%} to {high:.1%} | {held / draws:.0%} "
            f"| {likely / draws:.0%} | {prompts / draws:.0f} | {covered / draws:.0%} |"
        )


def verification(truth: TruthTable, row: int, rng: np.random.Generator) -> Figures:
    """What one verification of a row finds."""
    rule = StoppingRule(limits=LIMITS, samples=PROMPTS, resolves=True, most=MOST)
    drawn = rng.integers(0, truth.table.prompts, MOST)
    before, after = truth.table.baseline[drawn], truth.table.scores[row][drawn]
    for count in range(PROMPTS, MOST + 1, BATCH):
        loss = statistics.score_loss(before[:count].tolist(), after[:count].tolist())
        measured = Figures(prompts=count, score_loss=loss, speedup=TIMED, score=0.0)
        if rule.settled(measured, count - BATCH):
            break
    return measured


if __name__ == "__main__":
    main()
