"""How often racing stops a trial that would have kept its limit, and what bad settings cost.

    python -m bench.search.racing [--draws 20000] [--rules now,before,fleming,truth]
                                  [--batches 1,2,4,8]

Trials of 32 prompts without rivals, limit 2 %, each stopped as `tuner.search.runner.racing` says;
nothing is generated. They are drawn from a distribution whose mean is the true loss, and from the
truth tables in `bench/data/truth`, where a trial has 32 of a table's prompts and the true loss is
that of all of them. Three figures:

- wrongly: of the trials whose own 32 prompts would have kept the limit, the share that is stopped.
  This is what racing loses, and what it promises to hold under 3 %.
- stopped: of all trials, the share that is stopped. Near the limit up to half of the trials miss it
  by their own 32 prompts, stopped or not, and stopping those loses nothing.
- cost: the share of the 32 prompts that is used.

On the tables, `near the limit` are the settings that lose 1 to 2 %, in the mean and the worst of
them, and `bad` are those that lose 7 % or more.

The rules: `now` is the tuner's, `before` what it was until 2026-11-27 (96 % at each batch),
`fleming` is as safe as `now`, but strict at first and lenient at last (O'Brien and Fleming, 1979),
and `truth` holds `stopped` under 3 %, not only `wrongly`: it asks whether the true loss is over the
limit, where the others ask for the mean over the trial's own prompts.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from bench.lib.tables import GUIDANCE, folder, read
from tuner.measure.statistics import CONFIDENCE, SKEWED, Estimate
from tuner.search.runner import racing

LIMIT = 0.02
PROMPTS = 32
LOSSES = (0.01, 0.015, 0.017, 0.019, 0.025, 0.03, 0.05, 0.07)
SCATTERS = (0.02, 0.05, 0.10)
BAND = 0.05  # over the limit: a bad setting
BATCH = 4  # on the tables

Lower = Callable[[Estimate, int], Any]  # of the losses after so many prompts, an array


@dataclass(frozen=True)
class Rule:
    """When a trial is stopped: when `lower`, the end of an interval, is over the limit."""

    lower: Lower
    parts: bool = True  # looked at once in each eighth of the trial, else after every batch

    def looks(self, batch: int) -> list[int]:
        """The prompts after which a trial is looked at."""
        return [
            count
            for count in range(batch, PROMPTS, batch)
            if count >= racing.LEAST
            and (not self.parts or racing.is_look_due(count - batch, count, PROMPTS))
        ]

    def stopped_after(self, drawn: "Drawn", batch: int) -> np.ndarray:
        """Prompts of each trial; all where it is not stopped."""
        looks = self.looks(batch)
        over = np.array([self.lower(drawn.after(count), count) > LIMIT for count in looks])
        return np.where(over.any(axis=0), np.array(looks)[over.argmax(axis=0)], PROMPTS)


def now(found: Estimate, count: int) -> Any:
    """The tuner's own."""
    return racing.over_all_prompts(found, count, PROMPTS, racing.certain_to_miss(1)).low


def before(found: Estimate, count: int) -> Any:
    """The end of an interval of 96 %, with the finite population's factor."""
    low = racing.at_certainty(found, count, 0.96).low
    return found.value - (found.value - low) * (1 - count / PROMPTS) ** 0.5


def fleming(found: Estimate, count: int) -> Any:
    """The tuner's own, but the surer the fewer prompts there are."""
    certainty = float(norm.cdf(FLEMING / (count / PROMPTS) ** 0.5))
    return racing.over_all_prompts(found, count, PROMPTS, certainty).low


def truth(found: Estimate, count: int) -> Any:
    """Of the true loss, however many prompts the trial has left."""
    return racing.at_certainty(found, count, 0.9925).low


FLEMING = 1.55  # wrong as seldom as the tuner's rule
RULES = {
    "now": Rule(now),
    "before": Rule(before, parts=False),
    "fleming": Rule(fleming),
    "truth": Rule(truth),
}


@dataclass(frozen=True)
class Drawn:
    """Trials, a row each: the loss and its interval after each of their prompts."""

    losses: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, before: np.ndarray, after: np.ndarray) -> "Drawn":
        """From scores of shape (trials, prompts); the same as `statistics.score_loss`, at once."""
        count = np.arange(1, before.shape[1] + 1)
        lost = before - after
        mean = before.cumsum(axis=1) / count
        loss = lost.cumsum(axis=1) / count / mean
        second = [(lost**2), lost * before, before**2]
        third = [lost**3, lost**2 * before, lost * before**2, before**3]
        square = _moment(second, (1, -2, 1), loss)
        cube = _moment(third, (1, -3, 3, -1), loss)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.sqrt(np.maximum(square, 0) / (count - 1) / count) / mean
            skew = cube / count / (square / count) ** 1.5 / count**0.5
            half = student.ppf(0.5 + CONFIDENCE / 2, count - 1)
            ends = [3 / skew * (np.cbrt(1 + skew * (h - skew / 6)) - 1) for h in (half, -half)]
        plain = (count < SKEWED) | ~(np.abs(skew) >= 1e-6)
        below, above = (np.where(plain, half, np.maximum(half, one)) for one in (ends[0], -ends[1]))
        return cls(losses=loss, low=loss - below * error, high=loss + above * error)

    def after(self, count: int) -> Estimate:
        """What is known after so many prompts: an array of every trial's."""
        columns: Any = (self.losses, self.low, self.high)
        value, low, high = (one[:, count - 1] for one in columns)
        return Estimate(value=value, low=low, high=high)

    @property
    def kept(self) -> np.ndarray:
        """Whether all prompts of the trial keep the limit."""
        found: np.ndarray = self.losses[:, -1] < LIMIT
        return found


def _moment(parts: Sequence[np.ndarray], signs: Sequence[int], loss: np.ndarray) -> np.ndarray:
    """The running sum of a power of what a prompt loses beyond loss times its baseline."""
    sums = (one.cumsum(axis=1) for one in parts)
    found: np.ndarray = sum(
        (
            sign * loss**power * one
            for power, (sign, one) in enumerate(zip(signs, sums, strict=True))
        ),
        np.zeros_like(loss),
    )
    return found


DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
    "lognormal": lambda rng, shape: (rng.lognormal(0, 0.75, shape) - 1.325) / 1.152,
    "mirrored exponential": lambda rng, shape: 1 - rng.exponential(size=shape),
}


def simulated(name: str, loss: float, scatter: float, draws: int) -> Drawn:
    """Trials of a setting with this true loss, whose prompts scatter so about it."""
    rng = np.random.default_rng([round(1e4 * loss), round(1e4 * scatter), len(name)])
    before = np.maximum(rng.normal(30, 3, (draws, PROMPTS)), 15)
    losses = loss + scatter * DISTRIBUTIONS[name](rng, before.shape)
    return Drawn.of(before, before * (1 - losses))


def of_table(before: np.ndarray, scores: np.ndarray, draws: int, seed: int = 0) -> Drawn:
    """About so many trials of these settings (rows), each on prompts of its own."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(len(scores)), max(1, draws // len(scores)))
    order = np.tile(np.arange(len(before)), (len(rows), 1))
    numbers = rng.permuted(order, axis=1)[:, :PROMPTS]
    return Drawn.of(before[numbers], scores[rows[:, None], numbers])


@dataclass(frozen=True)
class Figures:
    """Of some trials, as shares."""

    wrongly: float
    stopped: float
    cost: float

    @classmethod
    def of(cls, drawn: Drawn, rule: Rule, batch: int) -> "Figures":
        """What a rule makes of them; `wrongly` is not a number where none keeps the limit."""
        taken = rule.stopped_after(drawn, batch)
        stopped, kept = taken < PROMPTS, drawn.kept
        wrongly = stopped[kept].mean() if kept.any() else np.nan
        return cls(
            wrongly=float(wrongly),
            stopped=float(stopped.mean()),
            cost=float(taken.mean() / PROMPTS),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20000)
    parser.add_argument("--rules", default=",".join(RULES))
    parser.add_argument("--batches", default="1,2,4,8")
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    args = parser.parse_args()
    rules = {name: RULES[name] for name in args.rules.split(",")}
    batches = [int(one) for one in args.batches.split(",")]
    print(f"limit {LIMIT:.0%}, {PROMPTS} prompts, {args.draws} trials for each figure\n")
    lines: dict[str, list[str]] = {name: [] for name in rules}
    for kind in DISTRIBUTIONS:
        for scatter in SCATTERS:
            trials = [simulated(kind, loss, scatter, args.draws) for loss in LOSSES]
            for name, batch in product(rules, batches):
                cells = [cell(Figures.of(drawn, rules[name], batch)) for drawn in trials]
                lines[name].append(f"| {kind}, {scatter:.0%} | {batch} | {' | '.join(cells)} |")
    for name, found in lines.items():
        print(f"## {name}, drawn losses: wrongly, stopped, cost (%)\n")
        print(f"| scatter | batch | {' | '.join(f'{loss:.1%}' for loss in LOSSES)} |")
        print(f"|---|---|{'---|' * len(LOSSES)}")
        print("\n".join(found), end="\n\n")
    print(f"## Truth tables, batches of {BATCH}: wrongly, stopped, cost (%)\n")
    print_tables(rules, args.draws, args.guidance)


def cell(found: Figures) -> str:
    """Three figures in per cent."""
    return f"{100 * found.wrongly:.1f}, {100 * found.stopped:.1f}, {100 * found.cost:.0f}"


def print_tables(rules: dict[str, Rule], draws: int, guidance: float) -> None:
    """A line for each table and rule."""
    print("| table | rule | near the limit | the worst of these | bad |")
    print("|---|---|---|---|---|")
    for name, near, bad in tables(draws, guidance):
        for rule_name, rule in rules.items():
            of_each = [Figures.of(drawn, rule, BATCH) for drawn in near]
            worst = f"{100 * max(one.wrongly for one in of_each):.1f}" if near else ""
            at_limit = cell(mean(of_each)) if near else ""
            far = "" if bad is None else cell(Figures.of(bad, rule, BATCH))
            print(f"| {name} | {rule_name} | {at_limit} | {worst} | {far} |", flush=True)


def mean(found: Sequence[Figures]) -> Figures:
    """The mean of each figure."""
    wrongly, stopped, cost = np.mean([[one.wrongly, one.stopped, one.cost] for one in found], 0)
    return Figures(wrongly=wrongly, stopped=stopped, cost=cost)


def tables(draws: int, guidance: float) -> Iterator[tuple[str, list[Drawn], Drawn | None]]:
    """Of each table the trials of every setting that loses 1 to 2 %, and of all the bad ones."""
    for file in sorted(folder(guidance).glob("*.npz")):
        table = read(file)
        count, losses = table.prompts, table.losses
        if count < PROMPTS:
            continue
        before, scores = table.baseline[:count].astype(float), table.scores[:, :count].astype(float)
        close = np.flatnonzero((losses >= LIMIT / 2) & (losses < LIMIT))
        near = [of_table(before, scores[[row]], max(1, draws // 10), int(row)) for row in close]
        far = losses >= LIMIT + BAND
        yield file.stem, near, of_table(before, scores[far], draws) if far.any() else None


if __name__ == "__main__":
    main()
