"""Simulated searches on the truth tables: how soon each sampler finds the best feasible setting.

    python -m bench.search [--tables tgate-DDIM-20] [--samplers frontier,tpe] [--seeds 20]
    python -m bench.search --aim front     # the area under the front after 50 trials
    python -m bench.search --transfer      # `frontier` with a warm start from another table
    python -m bench.search --curse 200     # how often an exported setting is truly feasible
    python -m bench.search --racing        # cost of a setting, by its distance from the limit
    python -m bench.search --predicted     # errors of the speedups that the speed model predicts
    python -m bench.search --guidance 7.5  # any of these on the tables of another guidance scale
    python -m bench.search --unsure        # arrive where a real search may end

A search's prompts are those that it evaluates, and the pictures of the steps that it times at its
start. Its device time counts all pictures, from the first baseline to the verification of one
setting, in units of B: what the baseline takes for 32 prompts. A search has arrived when it has
evaluated, without stopping the trial, a setting that is truly feasible and at least 0.99 times as
fast as the fastest such setting. One that does not arrive counts with its whole budget.
`bench.lib.table_search` describes a simulated search. Each table's heading says what any search
takes at least: one whose first trial is the answer.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import optuna
from scipy.stats import binomtest, spearmanr

from bench.lib.miniature import conditions, quiet
from bench.lib.table_costs import PROMPTS, TableCosts
from bench.lib.table_search import LIMITS, MORE, TableSearch
from bench.lib.tables import GUIDANCE, PRODUCTS
from bench.lib.truth_table import LIMIT, TruthTable
from bench.search.searches import SEARCHES, Search, frontier, known, probes
from tuner.measure.account import Purpose
from tuner.search.frontier.context import Timing
from tuner.search.frontier.speed_model import SpeedModel
from tuner.spec import Aim
from tuner.study.best import fastest_feasible
from tuner.study.results import Result

FRONT = 50  # trials, after which the area is compared
LONG = 60  # trials of the source study of a warm start, and of the searches of `--curse`


def main() -> None:
    args = arguments()
    quiet()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(
        f"{conditions()}; guidance {args.guidance:g}, limit {LIMIT:.0%}, {args.seeds} seeds, "
        f"at most {args.trials} trials\n"
    )
    products = [replace(product, guidance=args.guidance) for product in PRODUCTS]
    products = [product for product in products if product.file.exists()]
    if args.tables is not None:
        products = [product for product in products if product.file.stem in args.tables.split(",")]
    tables = {
        product.file.stem: TruthTable.of(product, unsure_counts=args.unsure) for product in products
    }
    for name, truth in tables.items():
        if truth.table.prompts < PROMPTS + MORE:
            print(f"## {name}: {truth.table.prompts} prompts so far (`bench.search.truth --run`)\n")
            continue
        if not truth.feasible.any():
            print(f"## {name}: no setting is feasible on {truth.table.prompts} prompts\n")
            continue
        print(
            f"## {name}: {len(truth.table.settings)} settings, {truth.table.prompts} prompts, "
            f"{truth.feasible.sum()} feasible, the fastest {truth.best:.2f}×, which takes "
            f"{least_cost(truth):.2f} B where it is the first trial\n"
        )
        print_table(name, tables, args)
        print(flush=True)


def least_cost(truth: TruthTable) -> float:
    """What any search takes, in B: the baseline, a trial of the answer, and its verification."""
    costs = TableCosts()
    costs.begin(np.arange(PROMPTS))
    costs.pictures(Purpose.SCORED, PROMPTS, truth.best)
    return costs.with_verification(truth.best)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--tables", help="names of the tables' files without the ending; default: all"
    )
    parser.add_argument("--samplers", default=",".join(SEARCHES))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--aim", default="max", choices=("max", "front"))
    parser.add_argument("--transfer", action="store_true")
    parser.add_argument("--racing", action="store_true")
    parser.add_argument("--predicted", action="store_true")
    parser.add_argument("--curse", type=int, default=0, metavar="SEARCHES")
    parser.add_argument("--unsure", action="store_true", help="a loss under the limit will do")
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    return parser.parse_args()


def print_table(name: str, tables: Mapping[str, TruthTable], args: argparse.Namespace) -> None:
    """Print the requested figures of one truth table."""
    truth = tables[name]
    if args.aim == "front" and not truth.area:
        print("no front: no feasible setting is faster than the baseline")
    elif args.racing:
        print_racing(truth, args.seeds)
    elif args.predicted:
        print_predicted(truth, args.seeds)
    elif args.curse:
        print_curse(truth, args.curse)
    elif args.transfer:
        others = [
            table for key, table in tables.items() if key != name and same_product(table, truth)
        ]
        searches: dict[str, Search] = {"cold": frontier}
        searches |= {f"after {table.product.scheduler}": partial(after, table) for table in others}
        print_searches(truth, args, searches)
    else:
        chosen = {key: SEARCHES[key] for key in args.samplers.split(",")}
        print_searches(truth, args, chosen)


def print_searches(
    truth: TruthTable, args: argparse.Namespace, searches: Mapping[str, Search]
) -> None:
    """Print a table with a line for each kind of search."""
    print(HEAD[args.aim], flush=True)
    front = args.aim == "front"
    trials = FRONT if front else args.trials
    for name, search in searches.items():
        begin = time.monotonic()
        runs = [search(truth, seed, trials, args.aim, front) for seed in range(args.seeds)]
        seconds = (time.monotonic() - begin) / sum(run.trials for run in runs)
        print(row(name, runs, args, seconds), flush=True)


HEAD = {
    "max": "| sampler | arrived | trials: median, 90% | prompts: median, 90% "
    "| device time in B: median, 90% | scored pictures | s a trial |\n"
    "|---|---|---|---|---|---|---|",
    "front": "| sampler | area after 50 trials: mean, least | prompts after 50 | B after 50 "
    "| s a trial |\n|---|---|---|---|---|",
}


def row(name: str, runs: list[TableSearch], args: argparse.Namespace, seconds: float) -> str:
    """A sampler's line of the table."""
    if args.aim == "front":
        areas = [run.true_area() for run in runs]
        prompts, time_b = np.median([(run.prompts, run.costs.total) for run in runs], axis=0)
        return (
            f"| {name} | {np.mean(areas):.3f}, {min(areas):.3f} | {prompts:.0f} | {time_b:.1f} "
            f"| {seconds:.2f} |"
        )
    costs = np.array(
        [run.arrived or (args.trials, args.trials * PROMPTS, run.costs.total) for run in runs]
    )
    middle, most = np.median(costs, axis=0), np.quantile(costs, 0.9, axis=0)
    arrived = sum(run.arrived is not None for run in runs)
    share = np.mean([run.costs.scored_share for run in runs])
    return (
        f"| {name} | {arrived}/{len(runs)} | {middle[0]:.0f}, {most[0]:.0f} "
        f"| {middle[1]:.0f}, {most[1]:.0f} | {middle[2]:.1f}, {most[2]:.1f} | {share:.0%} "
        f"| {seconds:.2f} |"
    )


def same_product(table: TruthTable, other: TruthTable) -> bool:
    """Whether two tables are the same product for another scheduler or number of steps."""
    return table.product.name == other.product.name


def after(
    other: TruthTable, truth: TruthTable, seed: int, trials: int, aim: Aim, whole: bool
) -> TableSearch:
    """A search with a warm start from a finished search of another table.

    The warm start uses the last measurement of each setting: the one that resolved or verified it.
    """
    before = frontier(other, 1000 + seed, LONG, aim, whole=True, resolves=True)
    fastest = before.verified()
    return frontier(
        truth,
        seed,
        trials,
        aim,
        whole,
        related=before.observations(),
        first=[] if fastest is None else [fastest.setting],
    )


def print_racing(truth: TruthTable, seeds: int) -> None:
    """Prompts until a setting's trial ends, by its true loss; no trial has rivals."""
    over = truth.table.losses - LIMIT
    spent = np.array([early_stopping(truth, seed) for seed in range(seeds)])  # (seeds, settings, 2)
    prompts, stopped = spent[:, :, 0], spent[:, :, 1]
    print(f"| true loss | settings | share of the {PROMPTS} prompts | stopped |")
    print("|---|---|---|---|")
    bands = {
        "5 points or more over the limit": over >= 0.05,
        "2 to 5 points over": (over >= 0.02) & (over < 0.05),
        "up to 2 points over": (over >= 0) & (over < 0.02),
        "under the limit": over < 0,
        "truly feasible": truth.feasible,
    }
    for name, rows in bands.items():
        if rows.any():
            print(
                f"| {name} | {rows.sum()} | {prompts[:, rows].mean() / PROMPTS:.0%} "
                f"| {stopped[:, rows].mean():.1%} |"
            )


def early_stopping(truth: TruthTable, seed: int) -> list[tuple[int, bool]]:
    """For each row, the prompts of its trial and whether that was stopped early."""
    trials = []
    for row in range(len(truth.table.settings)):
        search = TableSearch(truth, seed)
        stopped = search.is_stopped_early(row)
        trials.append((search.prompts, stopped))
    return trials


def print_predicted(truth: TruthTable, seeds: int) -> None:
    """Errors of the speed model for every setting, after timed steps and the first trials."""
    errors, ranks = [], []
    firsts: list[tuple[float, float]] = []
    for seed in range(seeds):
        model = SpeedModel(truth.context.work)
        search, first = TableSearch(truth, seed), known(truth)
        timed = probes(truth, search, first)
        firsts += first_error(truth, seed)
        model.fit(
            timed,
            [
                (setting, Timing(speedup=next(search.measure(setting, 0)).speedup.value, pairs=3))
                for setting in first
            ],
        )
        speedups = model.speedups(truth.table.settings)
        off = np.abs(speedups / truth.speedups - 1)
        errors.append([np.median(off), np.quantile(off, 0.9)])
        ranks.append(spearmanr(speedups, truth.speedups).statistic)
    middle, most = np.median(errors, axis=0)
    print(
        f"predicted speedups: median error {middle:.1%}, 90% under {most:.1%}, rank correlation "
        f"{np.median(ranks):.3f} (least {min(ranks):.3f})"
    )
    if firsts:
        error, spread = np.median(firsts, axis=0)
        print(f"the first trial's: off by {error:+.0%}, with a stated spread of {spread:.0%}")


def first_error(truth: TruthTable, seed: int) -> list[tuple[float, float]]:
    """How far off the speedup of a search's first setting is predicted, and the stated spread.

    Empty where a search times no steps before it.
    """
    setting = max(known(truth), key=lambda setting: len(setting.accelerators))
    timed = probes(truth, TableSearch(truth, seed), [setting])
    if not timed:
        return []
    model = SpeedModel(truth.context.work)
    model.fit(timed, [])
    predicted = model.prediction(setting, [])
    return [(predicted.speedup / truth.speedups[truth.row[setting]] - 1, predicted.spread)]


def print_curse(truth: TruthTable, searches: int) -> None:
    """How often an exported setting is truly feasible, and how fast it is."""
    unverified: list[Result | None] = []
    verified: list[Result | None] = []
    prompts = []
    for seed in range(searches):
        run = frontier(truth, seed, LONG, "max", whole=True, resolves=True)
        unverified.append(fastest_feasible(run.results, LIMITS))
        before = run.prompts
        verified.append(run.verified())
        prompts.append(run.prompts - before)
    print(
        f"{searches} searches of {LONG} trials; "
        f"a verification takes {np.mean(prompts):.0f} prompts\n"
    )
    print("| exported | truly under the limit (at least, 95%) | speedup of the best | none |")
    print("|---|---|---|---|")
    for name, winners in (("unverified", unverified), ("verified", verified)):
        print(curse_row(name, winners, truth))


def curse_row(name: str, winners: Sequence[Result | None], truth: TruthTable) -> str:
    """The share of truly feasible winners, and all speedups relative to the truly best one."""
    rows = [truth.row[winner.setting] for winner in winners if winner is not None]
    held = [bool(truth.table.losses[row] < LIMIT) for row in rows]
    speedups = [truth.speedups[row] / truth.best for row in rows]
    at_least = binomtest(sum(held), len(held)).proportion_ci(0.9).low  # one-sided 95%
    return (
        f"| {name} | {np.mean(held):.1%} ({at_least:.1%}) | {np.mean(speedups):.3f} "
        f"| {len(winners) - len(rows)} |"
    )


if __name__ == "__main__":
    main()
