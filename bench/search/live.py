"""What a verified answer costs: real searches of the miniature, from an empty database.

    python -m bench.search.live [--tables tgate-DDIM-20] [--seeds 10] [--prompts 512]
        [--keep FOLDER]

Each search is that of `tuner run --req-speedup`, over the settings of a truth table: it ends with a
verified setting that is as fast as the table's fastest feasible one, less one per cent. How fast
that is on this machine is timed before, to ±0.5% or in 48 pairs. All that a run costs is counted,
loading included, in units of B: what the baseline takes for the 32 prompts of a trial. "Right" are
winners that are under the limit on all prompts of the table and within one per cent of the fastest
feasible setting, both timed alone on this machine in that way (`bench/lib/long_timing.py`). A table
has 64 or 128 prompts, on which a loss of 2% is known to one or half a point; the second number
counts the winners that are under the limit on `--prompts` held-out prompts, and the third those
that are right by the table's latencies, which were measured on another machine. With `--keep` the
databases of the searches stay in a folder, for `tuner show` and the dashboard.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from bench.lib.long_timing import timed_alone
from bench.lib.miniature import conditions, evaluation_of, quiet
from bench.lib.tables import PRODUCTS
from bench.lib.truth_table import LIMIT, SHARE, TruthTable
from tuner.measure.baseline_store import InMemoryStore
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.study.costs import StudyCosts, read_costs
from tuner.study.results import Result

TABLES = "tgate-DDIM-20,deepcache-tome-DDIM-20,all-DDIM-20"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One search: its costs, and the setting that it found."""

    costs: StudyCosts
    winner: Result | None

    @property
    def in_b(self) -> float:
        """All that it cost, in units of B."""
        assert self.costs.baseline_s is not None
        return self.costs.total.total_s / self.costs.baseline_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", default=TABLES)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--prompts", type=int, default=512, help="that judge the winners")
    parser.add_argument("--trials", type=int, default=60, help="at most, of each search")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="for the databases; earlier ones are replaced"
    )
    args = parser.parse_args()
    quiet()
    print(f"{conditions()}; limit {LIMIT:.0%}\n")
    print(
        "| table | right, on more, by the table's latencies | B: median, most | trials: median "
        "| scored pictures | outside |"
    )
    print("|---|---|---|---|---|---|")
    for product in PRODUCTS:
        if product.file.stem in args.tables.split(",") and product.file.exists():
            truth = TruthTable.of(product)
            judge = Judge(truth, args.prompts)
            runs = list(searches(truth, SHARE * judge.best, args.seeds, args.trials, args.keep))
            print(line(judge, runs), flush=True)


def searches(
    truth: TruthTable, speedup: float, seeds: int, trials: int, keep: Path | None
) -> Iterator[Run]:
    """Searches for a speedup with different seeds: prompts are the same, noise and sampler not.

    Their databases are new files in the folder `keep`, if there is one.
    """
    product = truth.product
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if keep is None else keep
        folder.mkdir(parents=True, exist_ok=True)
        for seed in range(seeds):
            file = folder / f"{product.file.stem}-{seed}.db"
            file.unlink(missing_ok=True)
            outcome = Session().run(
                StudySpec(
                    pipe="miniature",
                    sched=product.scheduler,
                    steps=product.steps,
                    search_targets=tuple(product.values),
                    knobs=product.values,
                    req_score_loss=LIMIT,
                    req_speedup=speedup,
                    trials=trials,
                    seed=1000 + seed,
                    reference=False,
                    storage=f"sqlite:///{file}",
                )
            )
            run = Run(costs=read_costs(outcome.study), winner=outcome.best)
            found = "no setting" if run.winner is None else run.winner.setting
            print(f"seed {seed}: {run.in_b:.1f} B, {found}", file=sys.stderr, flush=True)
            yield run


@dataclass
class Judge:
    """Knows the speedups of winners, and their losses on a table's and on many other prompts."""

    truth: TruthTable
    prompts: int
    _known: dict[tuple[Setting, int], float] = field(default_factory=dict)
    _baselines: InMemoryStore = field(default_factory=InMemoryStore)

    @cached_property
    def best(self) -> float:
        """The speedup on this machine of the table's fastest feasible setting."""
        row = int(np.argmax(np.where(self.truth.feasible, self.truth.speedups, 0)))
        return self._speedup(self.truth.table.settings[row])

    def right(self, winner: Result | None) -> tuple[bool, bool, bool]:
        """Whether a winner is as fast as was asked and under the limit; prints it if not.

        On the table's prompts, on others, and on the table's prompts with the table's latencies.
        By these a setting that the table does not hold is as fast as it is here.
        """
        if winner is None:
            return False, False, False
        row = self.truth.row.get(winner.setting)
        share = self._speedup(winner.setting) / self.best
        by_table = share if row is None else float(self.truth.speedups[row] / self.truth.best)
        on_table, on_many = self._of_table(winner.setting), self._loss(winner.setting, self.prompts)
        if min(share, by_table) < SHARE or max(on_table, on_many) >= LIMIT:
            print(
                f"{winner.setting}, {share:.1%} of the best speedup ({by_table:.1%} by the table's "
                f"latencies), loss {on_table:.2%} on the table's prompts, {on_many:.2%} on "
                f"{self.prompts}",
                file=sys.stderr,
            )
        return (
            share >= SHARE and on_table < LIMIT,
            share >= SHARE and on_many < LIMIT,
            by_table >= SHARE and on_table < LIMIT,
        )

    def _speedup(self, setting: Setting) -> float:
        product = self.truth.product
        return timed_alone(setting, product.scheduler, product.steps).value

    def _of_table(self, setting: Setting) -> float:
        """The score loss on the table's prompts, measured where the table does not hold it."""
        row = self.truth.row.get(setting)
        if row is not None:
            return float(self.truth.table.losses[row])
        return self._loss(setting, self.truth.table.prompts)

    def _loss(self, setting: Setting, prompts: int) -> float:
        if (setting, prompts) not in self._known:
            product = self.truth.product
            evaluation = evaluation_of(
                "truth", prompts, scheduler=product.scheduler, steps=product.steps
            )
            *_, measured = evaluation.measure(setting, self._baselines, few_pairs=True)
            self._known[setting, prompts] = measured.score_loss.value
        return self._known[setting, prompts]


def line(judge: Judge, runs: list[Run]) -> str:
    """A line of the table."""
    costs = [run.in_b for run in runs]
    trials = np.median([len(run.costs.trials) for run in runs])
    scored = np.mean([run.costs.scored_share or 0 for run in runs])
    outside = np.mean([run.costs.outside_share or 0 for run in runs])
    right, on_more, by_table = np.sum([judge.right(run.winner) for run in runs], axis=0)
    return (
        f"| {judge.truth.product.file.stem} | {right}, {on_more}, {by_table} of {len(runs)} "
        f"| {np.median(costs):.1f}, {max(costs):.1f} "
        f"| {trials:.0f} | {scored:.0%} | {outside:.1%} |"
    )


if __name__ == "__main__":
    main()
