"""What do related studies with a target cost, one after the other?

    python -m bench.search.related [--tables "all-DDIM-20;tgate-DDIM-20,tgate-DPM-Solver++-20"]
        [--shares 0.8,0.9,0.99] [--studies 4] [--seeds 20]

Simulated studies on truth tables (`bench.lib.table_search`), each with a warm start from all before
it, and with a target: a share of the speed of the fastest feasible setting. The first one is cold.
The later ones verify a likely setting first, and search where none is likely or it does not hold.
Their tables take turns; each study draws prompts of its own, with repetition: 64 for searching and
128 for verifying. B is what the baseline takes for 32 prompts; all pictures are counted. A study's
answer is right where the loss over all prompts of the table is under the limit.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna

from bench.lib.miniature import conditions, quiet
from bench.lib.table_costs import BATCH, PROMPTS, TableCosts
from bench.lib.table_search import LIMITS, MORE, TableSearch
from bench.lib.tables import PRODUCTS
from bench.lib.truth_table import LIMIT, TableSpace, TruthTable
from bench.search.searches import known, probes
from tuner.measure.account import Purpose
from tuner.search.frontier.context import Observation
from tuner.search.frontier.sampler import FrontierSampler
from tuner.search.goal import Goal
from tuner.search.runner.first_verification import verify_first
from tuner.search.runner.observer import Observer
from tuner.search.runner.run import Search
from tuner.search.runner.stopping import StoppingRule
from tuner.search.runner.verify import verify
from tuner.setting import Setting
from tuner.study.results import read_results

TABLES = (
    "all-DDIM-20;tgate-DDIM-20,tgate-DPM-Solver++-20;"
    "deepcache-tome-DDIM-20,deepcache-tome-DPM-Solver++-20"
)
MOST = 128  # prompts of a verification
TRIALS = 40  # of a study at most
LATENCY = 2 * BATCH  # pictures of the baseline before its pairs: a warm-up and a batch


@dataclass
class Related:
    """One study of a chain: its search on a table, and how it ended."""

    search: TableSearch
    first: str = "none likely"  # of the verification before the search
    prompts: int = 0  # of that verification
    is_right: bool = False


def main() -> None:
    args = arguments()
    quiet()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"{conditions()}; limit {LIMIT:.0%}, {args.seeds} seeds\n")
    later = ", ".join(str(number) for number in range(2, args.studies + 1))
    print(
        f"| tables | target | B of the first study | of studies {later} | later / first "
        "| first verifications that held | their prompts | right answers |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for group in args.tables.split(";"):
        tables = [table_named(name) for name in group.split(",")]
        for share in map(float, args.shares.split(",")):
            chains = [chain(tables, share, args.studies, seed) for seed in range(args.seeds)]
            print(f"| {group} | {share:g} | {figures(chains)} |", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", default=TABLES, help="those of one chain separated by commas")
    parser.add_argument("--shares", default="0.8,0.9,0.99")
    parser.add_argument("--studies", type=int, default=4, help="of a chain")
    parser.add_argument("--seeds", type=int, default=20)
    return parser.parse_args()


def table_named(name: str) -> TruthTable:
    return TruthTable.of(next(product for product in PRODUCTS if product.file.stem == name))


def chain(tables: Sequence[TruthTable], share: float, studies: int, seed: int) -> list[Related]:
    """Studies one after the other, each with a warm start from all before it."""
    done: list[Related] = []
    for number in range(studies):
        truth = tables[number % len(tables)]
        source = [seen for study in done for seen in study.search.observations()]
        done.append(study_of(truth, share, seed * studies + number, source))
    return done


def study_of(truth: TruthTable, share: float, seed: int, source: Sequence[Observation]) -> Related:
    """One study with a target, as `tuner.study_run` runs it."""
    table = redrawn(truth, seed)
    goal = Goal(limits=LIMITS, speedup=share * truth.best)
    search = TableSearch(table, seed)
    first = [] if source else known(table)[:1]
    timed = probes(table, search, first)
    if source:  # the steps were timed by the first study, and a baseline comes with the search
        search.costs = TableCosts()
    sampler = FrontierSampler(
        table.context,
        limit=LIMIT,
        target=lambda: share * truth.best,
        seed=seed,
        timed=timed,
        warm_start=source,
        num_samples=PROMPTS,
        max_samples=MOST,
    )
    search.study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study = Related(search)
    if source and holds_at_first(study, table, goal, sampler):
        (held,) = read_results(search.study)
        study.is_right = bool(truth.table.losses[truth.row[held.setting]] < LIMIT)
        return study
    if source:
        search.begin()
    winner = searched(search, table, goal, first)
    study.is_right = winner is not None and bool(truth.table.losses[truth.row[winner]] < LIMIT)
    return study


def redrawn(truth: TruthTable, seed: int) -> TruthTable:
    """The table with prompts that are drawn from its own, with repetition."""
    rng = np.random.default_rng([seed, truth.table.prompts])
    drawn = rng.integers(0, truth.table.prompts, PROMPTS + MORE + MOST)
    table = truth.table
    other = replace(
        truth,
        table=replace(table, baseline=table.baseline[drawn], scores=table.scores[:, drawn]),
    )
    for name in ("row", "speedups", "by_index", "index", "feasible", "best", "context"):
        other.__dict__[name] = getattr(truth, name)  # as they are over all prompts
    return other


def holds_at_first(study: Related, table: TruthTable, goal: Goal, sampler: FrontierSampler) -> bool:
    """Verify a likely setting, if there is one, before the study searches; whether it holds."""
    search, space = study.search, TableSpace.of_table(table)
    assert search.study is not None
    likely = sampler.likely(search.study)
    if likely is None:
        return False

    def measure(setting: Setting, trial: int, rule: StoppingRule) -> Iterator[Any]:
        search.costs.pictures(Purpose.TIMING, LATENCY)
        search.costs.pictures(Purpose.WARM_UP, BATCH, float(table.speedups[table.row[setting]]))
        yield from search.verifying(setting)

    held = verify_first(
        search.study,
        goal,
        space.flat(likely),
        space.suggest,
        measure,
        PROMPTS,
        MOST,
        Observer(),
    )
    study.first = "held" if held else "did not hold"
    study.prompts = search.study.trials[0].user_attrs["prompts"]
    return held


def searched(
    search: TableSearch, table: TruthTable, goal: Goal, first: Sequence[Setting]
) -> Setting | None:
    """Search until a setting holds when it is verified, or the study has had its trials."""
    assert search.study is not None
    while True:
        Search(
            study=search.study,
            space=TableSpace.of_table(table),
            goal=goal,
            measure=search.measure,
            canonical=lambda setting: setting,
            trials=TRIALS,
            samples=PROMPTS,
            max_samples=PROMPTS + MORE,
            stops_early=True,
            first=first,
        ).run()
        winner = verify(
            search.study,
            goal,
            lambda result, rule: search.verifying(result.setting),
            lambda result: None,
            PROMPTS,
            MOST,
        )
        if winner is not None or len(search.study.trials) >= TRIALS:
            return None if winner is None else winner.setting


def figures(chains: Sequence[Sequence[Related]]) -> str:
    """The cells of one line."""
    costs = np.array([[study.search.costs.total for study in studies] for studies in chains])
    later = [study for studies in chains for study in studies[1:]]
    prompts = [study.prompts for study in later if study.prompts]
    held = sum(study.first == "held" for study in later)
    right = [study.is_right for studies in chains for study in studies]
    ratio = costs[:, 1:].mean() / costs[:, 0].mean()
    error = costs[:, 1:].mean(axis=1).std() / len(costs) ** 0.5 / costs[:, 0].mean()
    return (
        f"{costs[:, 0].mean():.1f} | {', '.join(f'{cost:.1f}' for cost in costs.mean(axis=0)[1:])} "
        f"| {ratio:.2f} ± {error:.2f} | {held} of {len(later)} | {np.mean(prompts or [0]):.0f} "
        f"| {sum(right)} of {len(right)}"
    )


if __name__ == "__main__":
    main()
