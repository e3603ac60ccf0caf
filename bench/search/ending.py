"""When does `--min-gain` end a search, and how good is what it exports?

    python -m bench.search.ending [--min-gains 0.01,0.002] [--tables tgate-DDIM-20] [--seeds 20]
    python -m bench.search.ending --tables tgate-DDIM-20 --after tgate-DPM-Solver++-20

Simulated searches by `frontier` on the truth tables (`bench.lib.table_search`), each to its own
end: no setting is expected to be faster by that share, inconclusive settings of the front are
resolved, and the fastest is verified. The speed of the exported setting is a share of that of the
fastest truly feasible one. B is what the baseline takes for 32 prompts; all pictures are counted.
With `--after` each search has a warm start from one of another table that has ended in this way.
"""

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import optuna

from bench.lib.miniature import conditions, quiet
from bench.lib.table_costs import PROMPTS
from bench.lib.table_search import LIMITS, MORE, TableSearch
from bench.lib.tables import PRODUCTS
from bench.lib.truth_table import LIMIT, TruthTable
from bench.search.searches import frontier
from tuner.search.frontier.context import Observation
from tuner.setting import Setting
from tuner.study.best import fastest_feasible

MOST = 100  # trials, as `tuner run` has by default


def main() -> None:
    args = arguments()
    quiet()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"{conditions()}; limit {LIMIT:.0%}, {args.seeds} seeds, at most {MOST} trials\n")
    print(
        "| table | min_gain | trials: median, most | B: median, 90% "
        "| speed of the exported setting: mean, least | truly under the limit |"
    )
    print("|---|---|---|---|---|---|")
    chosen = None if args.tables is None else args.tables.split(",")
    source = next((TruthTable.of(each) for each in PRODUCTS if each.file.stem == args.after), None)
    for product in PRODUCTS:
        name = product.file.stem
        if not product.file.exists() or (chosen is not None and name not in chosen):
            continue
        if source is not None and product.name != source.product.name:
            continue  # the source study has no setting of this table
        truth = TruthTable.of(product)
        # The others have no prompts for a verification, or no answer.
        if truth.table.prompts > PROMPTS + MORE and truth.feasible.any():
            for min_gain in map(float, args.min_gains.split(",")):
                search = partial(ended, source, min_gain)
                print(
                    f"| {name} | {min_gain:g} | {figures(truth, search, args.seeds)} |", flush=True
                )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", help="names of tables, as for bench.search; default: all")
    parser.add_argument("--min-gains", default="0.01,0.005,0.002,0.001")
    parser.add_argument("--seeds", type=int, default=20)
    names = [product.file.stem for product in PRODUCTS if product.file.exists()]
    parser.add_argument("--after", choices=names, help="a source study's table, for a warm start")
    return parser.parse_args()


def ended(source: TruthTable | None, min_gain: float, truth: TruthTable, seed: int) -> TableSearch:
    """A search to its own end, with a warm start from one of the source's table if there is any."""
    related: list[Observation] = []
    first: list[Setting] = []
    if source is not None:
        before = ended(None, min_gain, source, 1000 + seed)
        related = before.observations()
        fastest = fastest_feasible(before.results, LIMITS)
        first = [] if fastest is None else [fastest.setting]
    return frontier(
        truth, seed, MOST, "max", True, related, first, resolves=True, min_gain=min_gain
    )


def figures(truth: TruthTable, search: Callable[[TruthTable, int], TableSearch], seeds: int) -> str:
    """The cells of one line."""
    trials, costs, speeds, held = [], [], [], []
    for seed in range(seeds):
        run = search(truth, seed)
        winner = run.verified()
        trials.append(run.trials)
        costs.append(run.costs.total)
        row = None if winner is None else truth.row[winner.setting]
        speeds.append((1.0 if row is None else truth.speedups[row]) / truth.best)
        held.append(row is None or bool(truth.table.losses[row] < LIMIT))
    return (
        f"{np.median(trials):.0f}, {max(trials)} "
        f"| {np.median(costs):.1f}, {np.quantile(costs, 0.9):.1f} "
        f"| {np.mean(speeds):.3f}, {min(speeds):.3f} | {sum(held)} of {len(held)}"
    )


if __name__ == "__main__":
    main()
