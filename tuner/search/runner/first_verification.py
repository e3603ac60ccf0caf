"""A study whose first trial is a verification.

With a target and a warm start from other studies, a study may know a setting that is likely to
reach the target before it has measured anything. Nothing in this study chose that setting. To
measure it on the search's prompts first would tell little more: with the same prompts and noise,
the losses of one setting under two schedulers are nearly the same. So it is measured on the prompts
for verifying at once. If it holds, the study needs neither another trial nor the baseline of the
search's prompts.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from tuner.measure.account import Ledger
from tuner.search.goal import Goal
from tuner.search.runner.interrupt import Interruptible
from tuner.search.runner.observer import Observer
from tuner.search.runner.stopping import StoppingRule
from tuner.search.runner.trial import TrialRunner, interruptible_by
from tuner.search.runner.verify import rule_of
from tuner.setting import Setting
from tuner.storage.log import log_of
from tuner.study.recording import store_verification
from tuner.study.results import read_result

Measure = Callable[[Setting, int, StoppingRule], Iterator[Any]]


def verify_first(
    study: optuna.Study,
    goal: Goal,
    fixed: Mapping[str, Any],
    suggest: Callable[[optuna.Trial], Setting],
    measure: Measure,
    samples: int,
    most: int,
    observer: Observer,
    ledger: Ledger | None = None,
) -> bool:
    """Run a trial as the verification of its setting; returns whether that meets the goal.

    Args:
        study: the study.
        goal: what the setting must meet.
        fixed: the trial's parameters.
        suggest: the setting of a trial with its parameters.
        measure: measures a setting for the trial of a number, on the prompts for verifying, under
            a rule that says when its verdict is settled.
        samples: prompts of a verification.
        most: prompts of a verification that is inconclusive.
        observer: is notified of the trial and of its verification.
        ledger: as in `TrialRunner`.
    """
    rule = rule_of(goal, samples, most)
    last: list[Any] = []

    def measurements(setting: Setting, trial: int) -> Iterator[Any]:
        for measured in interruptible_by(interruptible, study, measure(setting, trial, rule)):
            last[:] = [measured]
            yield measured

    with Interruptible(observer.interrupted) as interruptible, log_of(study).heartbeats():
        ended = TrialRunner(
            study=study,
            limits=goal.limits,
            observer=observer,
            suggest=suggest,
            measured_before=lambda setting: None,
            rule=lambda setting, resolves: rule,
            measure=measurements,
            ledger=ledger or Ledger(),
        ).run(log_of(study).begin(fixed, {}))
    if ended is None or ended.state != TrialState.COMPLETE:
        return False
    store_verification(study, ended.number, last[0], goal.limits)
    result = read_result(study, ended.number, ended.user_attrs)
    observer.verified(result)
    return goal.met_by(result)
