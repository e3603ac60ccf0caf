"""Choosing one of several measured settings by a rule: the values of `--pick` and `pick=`.

| rule | which setting |
|---|---|
| `fastest` | the fastest feasible one |
| `knee` | the feasible one at which the front bends most |
| `loss<=0.5%`, `lpips<=0.1`, `ssim>=0.9` | the fastest feasible one within the bound |
| `speedup>=2` | the feasible one with the least score loss within the bound |
| `trial 7` | that of the trial of this number, feasible or not |

The knee is that of Kneedle (Satopää, Albrecht, Irwin and Raghavan, 2011, "Finding a 'Kneedle' in a
Haystack"), for a front that rises ever more slowly from its slowest to its fastest point: speedup
and loss are scaled to 0 … 1, and the knee is the point that is furthest above the chord between the
ends. A front of one or two points, or one that lies on or below its chord, has no knee; its fastest
point is picked.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tuner import registry
from tuner.errors import UsageError
from tuner.formatting import percent, times

Item = TypeVar("Item")

LOSS, SPEEDUP = "loss", "speedup"
RULES = (
    "fastest, knee, 'loss<=0.5%', 'speedup>=2', a bound on an extra metric such as 'lpips<=0.1', "
    "or 'trial 7'"
)
LISTED = 20  # numbers of trials in a message
LONGEST = 100  # characters of a rule
TRIAL = re.compile(r"trial\s*(\d{1,18})")
BOUND = re.compile(r"([a-z][\w ]*?)\s*(<=|>=)\s*([-+.\de]+)\s*(%|x|×)?")


@dataclass(frozen=True, kw_only=True)
class Candidate(Generic[Item]):
    """A setting to choose from.

    `figures` are those of its trial, and those of its verification where it has one: speedup, loss
    and extra metrics, by the names that bounds use. A bound must be met by all of them.
    """

    item: Item
    trial: int
    setting: str  # as people read it
    feasible: bool
    figures: Sequence[Mapping[str, float]]

    @property
    def speedup(self) -> float:
        """That of the trial."""
        return self.figures[0][SPEEDUP]

    @property
    def loss(self) -> float:
        """The score loss of the trial."""
        return self.figures[0][LOSS]

    def __str__(self) -> str:
        """In words: 'trial 7 (deepcache 3/0, 2.21×, loss 0.87%)'."""
        return (
            f"trial {self.trial} ({self.setting}, {times(self.speedup)}, loss {percent(self.loss)})"
        )


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A bound on a figure: at most or at least a value."""

    text: str
    figure: str
    least: bool  # whether the value is the least allowed; otherwise it is the greatest
    value: float

    def miss(self, candidate: Candidate[Item]) -> float:
        """By how much the worst of its figures misses the bound; zero or less where it is met."""
        values = [part[self.figure] for part in candidate.figures if self.figure in part]
        return max(self.value - v if self.least else v - self.value for v in values)


def picked(rule: str, candidates: Sequence[Candidate[Item]], where: str) -> Item:
    """The item of the candidate that a rule picks.

    Args:
        rule: as in the table above; case does not matter.
        candidates: the accelerated settings that were measured.
        where: the name of the study, for messages.

    Raises:
        UsageError: the rule is unknown, or it picks nothing; the line names the nearest candidate.
    """
    text = rule.strip().lower()
    trial = TRIAL.fullmatch(text)
    if trial is not None:
        return _of_trial(int(trial[1]), candidates, where)
    bound = None if text in ("fastest", "knee") else _bound(text)
    feasible = [candidate for candidate in candidates if candidate.feasible]
    if not feasible:
        hint = "; 'trial N' picks one that is not feasible" if candidates else ""
        raise UsageError(f"{where} has no feasible setting to pick{hint}")
    if bound is not None:
        return _within(bound, feasible, where).item
    return (_knee(feasible) if text == "knee" else _fastest(feasible)).item


def checked(rule: str) -> str:
    """The rule, once it is known to be one; `UsageError` otherwise."""
    text = rule.strip().lower()
    if text not in ("fastest", "knee") and TRIAL.fullmatch(text) is None:
        _bound(text)
    return text


def names_a_trial(rule: str) -> bool:
    """Whether a rule picks by the number of a trial, which differs from study to study."""
    return TRIAL.fullmatch(rule.strip().lower()) is not None


def _bound(text: str) -> Bound:
    """The bound in a rule such as 'loss<=0.5%'."""
    match = None if len(text) > LONGEST else BOUND.fullmatch(text)
    if match is None:
        figures = (LOSS, SPEEDUP, *registry.components("metrics"))
        hint = "; it lacks a bound, and a shell needs quotes around it" if text in figures else ""
        raise UsageError(f"cannot pick by {text[:LONGEST]!r}{hint}; use {RULES}")
    typed, operator, number, unit = match.groups()
    figure, more_is_better = _figure(typed)
    if (operator == ">=") != more_is_better:
        right = f"{figure}{'>=' if more_is_better else '<='}{number}{unit or ''}"
        raise UsageError(f"cannot pick by {text!r}, which the worst settings meet; use {right!r}")
    value = _number(text, number)
    if unit is not None and (unit == "%", figure) not in ((True, LOSS), (False, SPEEDUP)):
        raise UsageError(f"cannot pick by {text!r}: {figure} is a number without {unit}")
    if figure == LOSS and unit is None and value >= 1:
        raise UsageError(f"cannot pick by {text!r}: for {number} percent, use 'loss<={number}%'")
    value = value / 100 if unit == "%" else value
    return Bound(text=text, figure=figure, least=more_is_better, value=value)


def _figure(typed: str) -> tuple[str, bool]:
    """The name of a figure from what was typed, and whether more of it is better."""
    if registry.plain(typed) in (LOSS, "scoreloss"):
        return LOSS, False
    if typed == SPEEDUP:
        return SPEEDUP, True
    metrics = registry.components("metrics")
    known = {LOSS: LOSS, SPEEDUP: SPEEDUP} | {name: name for name in metrics}
    name: str = registry.pick("figure", typed, known)
    return name, bool(metrics[name].above)


def _number(text: str, number: str) -> float:
    try:
        return float(number)
    except ValueError:
        raise UsageError(f"cannot pick by {text!r}: {number!r} is not a number") from None


def _of_trial(number: int, candidates: Sequence[Candidate[Item]], where: str) -> Item:
    for candidate in candidates:
        if candidate.trial == number:
            return candidate.item
    numbers = sorted(candidate.trial for candidate in candidates)
    listed = ", ".join(map(str, numbers[:LISTED])) + ", …" * (len(numbers) > LISTED) or "none"
    raise UsageError(f"{where} has no setting of trial {number} to pick; its trials: {listed}")


def _within(bound: Bound, feasible: Sequence[Candidate[Item]], where: str) -> Candidate[Item]:
    measured = set(feasible[0].figures[0])
    if bound.figure not in measured:
        known = ", ".join(sorted(measured))
        raise UsageError(f"{where} did not measure {bound.figure}; its figures: {known}")
    within = [candidate for candidate in feasible if bound.miss(candidate) <= 0]
    if not within:
        nearest = min(feasible, key=lambda candidate: (bound.miss(candidate), candidate.trial))
        raise UsageError(
            f"no feasible setting of {where} has {bound.text}; the nearest is {nearest}"
        )
    if bound.figure == SPEEDUP:
        return min(within, key=lambda candidate: (candidate.loss, -candidate.speedup))
    return _fastest(within)


def _fastest(candidates: Sequence[Candidate[Item]]) -> Candidate[Item]:
    return max(candidates, key=lambda candidate: (candidate.speedup, -candidate.loss))


def _knee(candidates: Sequence[Candidate[Item]]) -> Candidate[Item]:
    """The point of the front that is furthest above its chord; of equal ones the fastest."""
    front: list[Candidate[Item]] = []  # fastest first
    for candidate in sorted(candidates, key=lambda each: (-each.speedup, each.loss)):
        if not front or candidate.loss < front[-1].loss:
            front.append(candidate)
    fastest, slowest = front[0], front[-1]
    if len(front) < 3:
        return fastest

    def above_chord(candidate: Candidate[Item]) -> float:
        speedup = (candidate.speedup - slowest.speedup) / (fastest.speedup - slowest.speedup)
        loss = (candidate.loss - slowest.loss) / (fastest.loss - slowest.loss)
        return speedup - loss

    return max(front, key=above_chord)  # the first of equal ones
