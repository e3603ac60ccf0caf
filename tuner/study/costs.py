"""What a study has cost so far: seconds and pictures, by purpose."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna

from tuner.errors import UsageError
from tuner.measure.account import Account, Purpose
from tuner.storage.log import log_of
from tuner.storage.trial_log import ENDED
from tuner.study.baseline import BASELINE, attributes
from tuner.study.schema import COST, COSTS, LONG, SAME_AS

SCORED = (Purpose.SCORED, Purpose.VERIFICATION)
OUTSIDE = (Purpose.SCORING, Purpose.REST)  # of the pipeline
APART = (Purpose.LOADING, Purpose.WAITING)  # counted by themselves


@dataclass(kw_only=True)
class StudyCosts:
    """The account of each trial, and of what belongs to none; studies of old versions have none."""

    trials: dict[int, Account] = field(default_factory=dict)  # by their numbers
    others: Account = field(default_factory=Account)
    baseline_s: float | None = None  # the baseline's seconds for the prompts of one trial
    prompts: int | None = None  # of one trial

    @property
    def total(self) -> Account:
        """All of it."""
        total = Account()
        for account in (self.others, *self.trials.values()):
            total.include(account)
        return total

    @property
    def scored_share(self) -> float | None:
        """The share of the pictures generated after the first baseline that were scored.

        Without those of fewer steps, which are not part of the search.
        """
        pictures = {**self.total.pictures, Purpose.FEWER_STEPS: 0}
        more_baseline = max(0, pictures.get(Purpose.BASELINE, 0) - (self.prompts or 0))
        scored = sum(pictures.get(purpose, 0) for purpose in SCORED) + more_baseline
        after = sum(pictures.values()) - pictures.get(Purpose.BASELINE, 0) + more_baseline
        return scored / after if after else None

    @property
    def outside_share(self) -> float | None:
        """The share of the seconds outside the pipeline, without those of loading and waiting."""
        total = self.total
        seconds = total.total_s - sum(total.seconds.get(purpose, 0.0) for purpose in APART)
        outside = sum(total.seconds.get(purpose, 0.0) for purpose in OUTSIDE)
        return outside / seconds if seconds else None


def read_costs(study: optuna.Study) -> StudyCosts:
    """The costs of a study, as its runs stored them. A trial that copied another's cost nothing."""
    stored = attributes(study)
    baseline = stored.get(BASELINE, {})
    prompts, latency_s = baseline.get("num_samples"), baseline.get("latency_s")
    costs = StudyCosts(prompts=prompts)
    if prompts and latency_s:
        costs.baseline_s = prompts * latency_s
    for name, account in stored.items():
        if name.startswith(COSTS):
            costs.others.include(_account(account, f"{name!r} of {study.study_name}"))
    for _, number, attrs in log_of(study).attributes(*ENDED, without=LONG):
        stored_cost = own_cost(attrs)
        if stored_cost is not None:
            costs.trials[number] = cost_of_trial(study, number, stored_cost)
    return costs


def own_cost(attrs: Mapping[str, Any]) -> Any:
    """What a trial stored of its cost; None without one.

    A trial that copied another one's figures cost nothing; old versions copied the cost, too.
    """
    return None if SAME_AS in attrs else attrs.get(COST)


def cost_of_trial(study: optuna.Study, number: int, stored: Any) -> Account:
    """The account that a trial stored; a `UsageError` if it is damaged."""
    return _account(stored, f"the cost of trial {number} of {study.study_name}")


def _account(stored: Any, whose: str) -> Account:
    try:
        return Account.of(stored)
    except ValueError as error:
        raise UsageError(
            f"{whose} is damaged, or was changed by another program: {error}; other studies of the "
            "database can be read by their names"
        ) from error
