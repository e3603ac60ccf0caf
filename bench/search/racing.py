"""Early stopping: how often it stops a trial that would have kept its limit, and what it saves.

    python -m bench.search.racing [--draws 20000] [--rules now,before,fleming,truth]
                                  [--batches 1,2,4,8]

Simulated trials of 32 prompts without rivals, with a limit of 2%. Each is stopped by the rule of
`tuner.search.runner.racing`, or by another rule for comparison. Trials are drawn from a
distribution whose mean is the true loss, and from the truth tables in `bench/data/truth`, where a
trial has 32 of a table's prompts and the true loss is that over all of them. Three figures:

- wrongly: of the trials that keep the limit on all their 32 prompts, the share that is stopped.
  Only these stops do harm; the tuner's rule is made to keep this share under 3%.
- stopped: of all trials, the share that is stopped. Near the limit up to half of the trials miss it
  on their own 32 prompts, and stopping those does no harm.
- cost: the share of the 32 prompts that is used.

On the tables, `near the limit` is the mean over the settings that lose 1 to 2%, `the worst of
these` is the greatest `wrongly` among them, and `bad` are the settings that lose 7% or more.

The rules: `now` is the tuner's; `before` was the tuner's until 2026-11-27 (96% at each batch);
`fleming` is as safe as `now`, but strict at first and lenient at last (O'Brien and Fleming, 1979);
`truth` keeps `stopped` under 3%, not only `wrongly`: it tests whether the true loss is over the
limit, where the others test the mean over the trial's own prompts.
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
BAND = 0.05  # a setting whose loss is over the limit by this much is bad
BATCH = 4  # prompts of a batch, on the tables

# The lower end of the interval of each trial's loss (an array), after a number of prompts.
Lower = Callable[[Estimate, int], Any]


@dataclass(frozen=True)
class Rule:
    """A trial is stopped when `lower`, the end of an interval, is over the limit."""

    lower: Lower
    parts: bool = True  # checked once in each eighth of the trial; else after every batch

    def looks(self, batch: int) -> list[int]:
        """The numbers of prompts after which a trial is checked."""
        return [
            count
            for count in range(batch, PROMPTS, batch)
            if count >= racing.LEAST
            and (not self.parts or racing.is_look_due(count - batch, count, PROMPTS))
        ]

    def stopped_after(self, drawn: "Drawn", batch: int) -> np.ndarray:
        """The prompts of each trial; all 32 where it is not stopped."""
        looks = self.looks(batch)
        over = np.array([self.lower(drawn.after(count), count) > LIMIT for count in looks])
        return np.where(over.any(axis=0), np.array(looks)[over.argmax(axis=0)], PROMPTS)


def now(loss: Estimate, count: int) -> Any:
    """The tuner's rule."""
    return racing.over_all_prompts(loss, count, PROMPTS, racing.certain_to_miss(1)).low


def before(loss: Estimate, count: int) -> Any:
    """The end of an interval of 96%, with the correction for a finite population."""
    low = racing.at_certainty(loss, count, 0.96).low
    return loss.value - (loss.value - low) * (1 - count / PROMPTS) ** 0.5


def fleming(loss: Estimate, count: int) -> Any:
    """The tuner's rule, but with more certainty the fewer prompts were scored."""
    certainty = float(norm.cdf(FLEMING / (count / PROMPTS) ** 0.5))
    return racing.over_all_prompts(loss, count, PROMPTS, certainty).low


def truth(loss: Estimate, count: int) -> Any:
    """The end of an interval of the true loss, whatever the trial's number of prompts."""
    return racing.at_certainty(loss, count, 0.9925).low


FLEMING = 1.55  # with it, `fleming` is wrong as seldom as `now`
RULES = {
    "now": Rule(now),
    "before": Rule(before, parts=False),
    "fleming": Rule(fleming),
    "truth": Rule(truth),
}


@dataclass(frozen=True)
class Drawn:
    """The loss of trials and its interval after each prompt; arrays of shape (trials, prompts)."""

    losses: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, before: np.ndarray, after: np.ndarray) -> "Drawn":
        """From scores of shape (trials, prompts); `statistics.score_loss` for all at once."""
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
        below, above = (np.where(plain, half, np.maximum(half, end)) for end in (ends[0], -ends[1]))
        return cls(losses=loss, low=loss - below * error, high=loss + above * error)

    def after(self, count: int) -> Estimate:
        """The losses and their intervals after `count` prompts, as arrays over the trials."""
        figures: Any = (self.losses, self.low, self.high)
        value, low, high = (figure[:, count - 1] for figure in figures)
        return Estimate(value=value, low=low, high=high)

    @property
    def keep_limit(self) -> np.ndarray:
        """Whether each trial keeps the limit on all its prompts."""
        keep_limit: np.ndarray = self.losses[:, -1] < LIMIT
        return keep_limit


def _moment(parts: Sequence[np.ndarray], signs: Sequence[int], loss: np.ndarray) -> np.ndarray:
    """The running sum over prompts of a power of (before - after) - loss * before.

    `parts` are the terms of the expanded power without their factors, `signs` these factors.
    """
    sums = (part.cumsum(axis=1) for part in parts)
    moment: np.ndarray = sum(
        (
            sign * loss**power * total
            for power, (sign, total) in enumerate(zip(signs, sums, strict=True))
        ),
        np.zeros_like(loss),
    )
    return moment


DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
    "lognormal": lambda rng, shape: (rng.lognormal(0, 0.75, shape) - 1.325) / 1.152,
    "mirrored exponential": lambda rng, shape: 1 - rng.exponential(size=shape),
}


def simulated(name: str, loss: float, scatter: float, draws: int) -> Drawn:
    """Trials of a setting with this true loss; `scatter` is the deviation of prompts from it."""
    rng = np.random.default_rng([round(1e4 * loss), round(1e4 * scatter), len(name)])
    before = np.maximum(rng.normal(30, 3, (draws, PROMPTS)), 15)
    losses = loss + scatter * DISTRIBUTIONS[name](rng, before.shape)
    return Drawn.of(before, before * (1 - losses))


def of_table(before: np.ndarray, scores: np.ndarray, draws: int, seed: int = 0) -> Drawn:
    """About `draws` trials of these settings (rows), each on random prompts."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(len(scores)), max(1, draws // len(scores)))
    order = np.tile(np.arange(len(before)), (len(rows), 1))
    numbers = rng.permuted(order, axis=1)[:, :PROMPTS]
    return Drawn.of(before[numbers], scores[rows[:, None], numbers])


@dataclass(frozen=True)
class Figures:
    """The three figures of some trials, as shares."""

    wrongly: float
    stopped: float
    cost: float

    @classmethod
    def of(cls, drawn: Drawn, rule: Rule, batch: int) -> "Figures":
        """The figures of a rule; `wrongly` is NaN where no trial keeps the limit."""
        taken = rule.stopped_after(drawn, batch)
        stopped, keep_limit = taken < PROMPTS, drawn.keep_limit
        wrongly = stopped[keep_limit].mean() if keep_limit.any() else np.nan
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
    batches = [int(batch) for batch in args.batches.split(",")]
    print(f"limit {LIMIT:.0%}, {PROMPTS} prompts, {args.draws} trials for each figure\n")
    lines: dict[str, list[str]] = {name: [] for name in rules}
    for kind in DISTRIBUTIONS:
        for scatter in SCATTERS:
            trials = [simulated(kind, loss, scatter, args.draws) for loss in LOSSES]
            for name, batch in product(rules, batches):
                cells = [cell(Figures.of(drawn, rules[name], batch)) for drawn in trials]
                lines[name].append(f"| {kind}, {scatter:.0%} | {batch} | {' | '.join(cells)} |")
    for name, rows in lines.items():
        print(f"## {name}, losses drawn from distributions: wrongly, stopped, cost (%)\n")
        print(f"| scatter | batch | {' | '.join(f'{loss:.1%}' for loss in LOSSES)} |")
        print(f"|---|---|{'---|' * len(LOSSES)}")
        print("\n".join(rows), end="\n\n")
    print(f"## Truth tables, batches of {BATCH}: wrongly, stopped, cost (%)\n")
    print_tables(rules, args.draws, args.guidance)


def cell(figures: Figures) -> str:
    """The three figures in per cent."""
    return f"{100 * figures.wrongly:.1f}, {100 * figures.stopped:.1f}, {100 * figures.cost:.0f}"


def print_tables(rules: dict[str, Rule], draws: int, guidance: float) -> None:
    """Print a line for each table and rule."""
    print("| table | rule | near the limit | the worst of these | bad |")
    print("|---|---|---|---|---|")
    for name, near, bad in tables(draws, guidance):
        for rule_name, rule in rules.items():
            of_each = [Figures.of(drawn, rule, BATCH) for drawn in near]
            worst = f"{100 * max(figures.wrongly for figures in of_each):.1f}" if near else ""
            at_limit = cell(mean(of_each)) if near else ""
            far = "" if bad is None else cell(Figures.of(bad, rule, BATCH))
            print(f"| {name} | {rule_name} | {at_limit} | {worst} | {far} |", flush=True)


def mean(of_each: Sequence[Figures]) -> Figures:
    """The mean of each figure."""
    rows = [[figures.wrongly, figures.stopped, figures.cost] for figures in of_each]
    wrongly, stopped, cost = np.mean(rows, axis=0)
    return Figures(wrongly=wrongly, stopped=stopped, cost=cost)


def tables(draws: int, guidance: float) -> Iterator[tuple[str, list[Drawn], Drawn | None]]:
    """The name of each table, trials of each setting that loses 1 to 2%, and of all bad ones."""
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
