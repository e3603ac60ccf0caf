"""Inconclusive settings of the front are resolved with more prompts after the search."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.helpers.simulated import Bench, measurement, setting_of
from tuner.errors import TrialError
from tuner.limits import Limits
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.search import deadline
from tuner.search.runner.alone import RESOLVING
from tuner.search.runner.observer import Observer
from tuner.search.runner.resolve import inconclusive
from tuner.setting import Setting
from tuner.spec import Aim
from tuner.storage.log import log_of
from tuner.storage.retries import RESOLVES
from tuner.study.best import fastest_feasible
from tuner.study.results import Result, Verification, read_results

KNOBS = {"deepcache": {"cache_interval": (3, 4, 5), "cache_branch_id": (0,)}}
SLOW, MIDDLE, FAST = FIRST = [
    Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": 0}})
    for interval in (3, 4, 5)
]
MAX_SAMPLES = 8


class Inconclusive(Bench):
    """Three settings; the verdict of the fastest one is inconclusive until it has eight prompts."""

    def __init__(self, folder: Path, truth: float, **changes: object) -> None:
        super().__init__(folder, search_targets=("deepcache",), knobs=KNOBS, trials=3, **changes)
        self.truth = truth

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        self.measured.append(setting)
        if (error := self.fails(setting)) is not None:
            raise error
        for prompts in (2, 4, 6, MAX_SAMPLES):
            loss, half = 0.001, 0.0005
            if setting == FAST:
                loss, half = (0.019, 0.01) if prompts < MAX_SAMPLES else (self.truth, half)
            interval = Estimate(value=loss, low=loss - half, high=loss + half)
            yield replace(measurement(setting), prompts=prompts, score_loss=interval)

    def resolved(self) -> list[optuna.trial.FrozenTrial]:
        """Search; returns the trials that resolved an inconclusive setting."""
        trials = self.search(samples=2, max_samples=MAX_SAMPLES, first=FIRST)
        return [trial for trial in trials if RESOLVES in trial.user_attrs]


def test_an_inconclusive_setting_of_the_front_is_resolved_after_the_search(tmp_path: Path) -> None:
    bench = Inconclusive(tmp_path, truth=0.015)
    (resolving,) = bench.resolved()
    assert (setting_of(resolving), resolving.number, resolving.user_attrs[RESOLVES]) == (FAST, 3, 2)
    assert resolving.user_attrs["prompts"] == MAX_SAMPLES
    assert bench.measured == [*FIRST, FAST]


def test_the_trial_with_the_most_prompts_counts(tmp_path: Path) -> None:
    bench = Inconclusive(tmp_path, truth=0.025)
    bench.resolved()
    results = read_results(bench.study)
    assert [(result.setting, result.prompts) for result in results] == [
        (SLOW, 2),
        (MIDDLE, 2),
        (FAST, MAX_SAMPLES),
    ]
    winner = fastest_feasible(results, bench.problem.limits)
    assert winner is not None and winner.setting == MIDDLE  # its verdict is certain already


class AllInconclusive(Bench):
    """Three settings under the limit, whose verdicts are inconclusive until they have 8 prompts."""

    def __init__(self, folder: Path, **changes: object) -> None:
        super().__init__(folder, search_targets=("deepcache",), knobs=KNOBS, trials=3, **changes)

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        loss = measurement(setting).score_loss.value
        for prompts in (2, 4, 6, MAX_SAMPLES):
            half = 0.05 if prompts < MAX_SAMPLES else 0.0005
            interval = Estimate(value=loss, low=loss - half, high=loss + half)
            yield replace(measurement(setting), prompts=prompts, score_loss=interval)


@pytest.mark.parametrize(
    ("aim", "expected"),
    [
        ("max", [FAST]),
        ("front", [FAST, MIDDLE, SLOW]),
        ("combinations", [FAST]),
    ],
)
def test_for_the_fastest_setting_only_those_that_may_be_it_are_resolved(
    tmp_path: Path, aim: Aim, expected: list[Setting]
) -> None:
    bench = AllInconclusive(tmp_path)
    trials = bench.search(samples=2, max_samples=MAX_SAMPLES, first=FIRST, aim=aim)
    resolved = [setting_of(trial) for trial in trials if RESOLVES in trial.user_attrs]
    assert resolved == expected


def test_a_setting_that_is_hardly_faster_than_a_sure_one_is_not_resolved(tmp_path: Path) -> None:
    class AlmostAsFast(AllInconclusive):
        """The slowest setting is sure, the others are 1% and 3% faster."""

        def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
            for measured in super().measure(setting, trial):
                loss = measured.score_loss
                if setting == SLOW:
                    loss = replace(loss, low=loss.value - 0.0005, high=loss.value + 0.0005)
                speedup = {SLOW: 2.0, MIDDLE: 2.02, FAST: 2.06}[setting]
                speed = replace(measured.speedup, value=speedup)
                yield replace(measured, score_loss=loss, speedup=speed)

    trials = AlmostAsFast(tmp_path).search(samples=2, max_samples=MAX_SAMPLES, first=FIRST)
    resolved = [setting_of(trial) for trial in trials if RESOLVES in trial.user_attrs]
    assert resolved == [FAST]


def test_what_may_be_the_fastest_setting_is_resolved_to_the_end_whatever_others_lose(
    tmp_path: Path,
) -> None:
    class EquallyFast(AllInconclusive):
        """The last setting looks better at first than it is."""

        def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
            for measured in super().measure(setting, trial):
                estimate = measured.score_loss
                if setting == FAST:
                    value = 0.001 if measured.prompts == 2 else 0.012
                    estimate = replace(estimate, value=value)
                speedup = replace(measured.speedup, value=2.0)
                yield replace(measured, score_loss=estimate, speedup=speedup)

    bench = EquallyFast(tmp_path)
    trials = bench.search(samples=2, max_samples=MAX_SAMPLES, first=FIRST)
    resolved = [trial for trial in trials if RESOLVES in trial.user_attrs]
    assert setting_of(resolved[0]) == FAST
    assert resolved[0].user_attrs["prompts"] == MAX_SAMPLES


def test_a_setting_is_resolved_although_its_canonical_values_are_not_offered(
    tmp_path: Path,
) -> None:
    knobs = {"tgate": {"gate_step": (5,), "sp_interval": (7,), "fi_interval": (3,), "warmup": (3,)}}
    bench = Bench(tmp_path, steps=20, search_targets=("tgate",), knobs=knobs, trials=1)
    bench.canonical = bench.problem.canonical

    def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
        for prompts in (2, MAX_SAMPLES):
            interval = Estimate(value=0.01, low=0.0, high=0.015 if prompts == MAX_SAMPLES else 0.03)
            yield replace(measurement(setting), prompts=prompts, score_loss=interval)

    bench.measure = measure  # type: ignore[method-assign]
    only = Setting.of({"tgate": {name: values[0] for name, values in knobs["tgate"].items()}})
    first, resolving = bench.search(samples=2, max_samples=MAX_SAMPLES, first=[only])
    assert setting_of(first) == setting_of(resolving) != only
    assert (resolving.user_attrs[RESOLVES], resolving.user_attrs["prompts"]) == (
        first.number,
        MAX_SAMPLES,
    )


def test_a_resolving_trial_that_failed_is_repeated_by_the_next_run_and_a_complete_one_is_not(
    tmp_path: Path,
) -> None:
    bench = Inconclusive(tmp_path, truth=0.015)
    broken = TrialError("the machine was taken away")
    bench.fails = lambda setting: broken if len(bench.measured) > 3 else None
    (failed,) = bench.resolved()
    assert failed.state == TrialState.FAIL
    for _ in range(2):
        after = Inconclusive(tmp_path, truth=0.015)
        _, resolving = after.resolved()
        assert (resolving.state, resolving.user_attrs["prompts"]) == (
            TrialState.COMPLETE,
            MAX_SAMPLES,
        )
    assert after.measured == []


def test_nothing_is_resolved_after_the_timeout_and_the_next_run_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Inconclusive(tmp_path, truth=0.015, timeout=3600.0)
    monkeypatch.setattr(deadline, "monotonic", lambda: 3600.0 * (len(bench.measured) == 3))
    assert bench.resolved() == []
    assert bench.measured == FIRST
    after = Inconclusive(tmp_path, truth=0.015, timeout=3600.0)
    assert [setting_of(trial) for trial in after.resolved()] == [FAST]


def test_a_setting_that_meets_a_target_is_not_resolved(tmp_path: Path) -> None:
    assert Inconclusive(tmp_path, truth=0.015, req_speedup=1.1).resolved() == []


def test_a_setting_is_resolved_before_other_queued_trials(tmp_path: Path) -> None:
    bench = Inconclusive(tmp_path, truth=0.015)
    bench.spec = replace(bench.spec, trials=2)
    trials = bench.search(samples=2, max_samples=MAX_SAMPLES, first=[FAST, SLOW, MIDDLE])
    assert bench.measured == [FAST, SLOW, FAST]
    assert [trial.state for trial in bench.study.trials] == [
        TrialState.COMPLETE,
        TrialState.COMPLETE,
        TrialState.WAITING,
        TrialState.COMPLETE,
    ]
    assert len(trials) == 3


def test_an_error_that_is_kept_does_not_keep_other_runs_from_resolving(tmp_path: Path) -> None:
    class Broken(Observer):
        def resolve_began(self, result: Result) -> None:
            raise KeyboardInterrupt

    bench = Inconclusive(tmp_path, truth=0.015)
    with pytest.raises(KeyboardInterrupt) as kept:  # as a notebook does, with its frames
        bench.search(samples=2, max_samples=MAX_SAMPLES, first=FIRST, observer=Broken())
    claim = log_of(Bench(tmp_path).study).claim(RESOLVING)
    assert claim is not None
    assert claim.holder() is None
    del kept


def unsure(setting: Setting, prompts: int, **changes: Any) -> Result:
    """A result that is under the limit of 2%, but not for sure."""
    return Result(
        trial=0,
        setting=setting,
        speedup=Estimate(value=2.0, low=1.99, high=2.01),
        score_loss=Estimate(value=0.01, low=-0.01, high=0.03),
        latency_s=1.0,
        score=30.0,
        prompts=prompts,
        same_pictures=False,
        **changes,
    )


VERIFICATION = Verification(
    prompts=32,
    speedup=Estimate(value=2.0, low=1.99, high=2.01),
    score_loss=Estimate(value=0.01, low=-0.01, high=0.03),
    score=30.0,
    latency_s=1.0,
)


@pytest.mark.parametrize(
    ("result", "most", "aim", "is_resolved"),
    [
        (unsure(FAST, 32), 128, "max", False),
        (unsure(FAST, 32), 32, "max", True),  # there are no more prompts
        (unsure(FAST, 128), 128, "max", True),
        (unsure(FAST, 124), 128, "max", True),  # the last four would not change it
        (unsure(FAST, 36), 128, "max", False),
        (unsure(FAST, 32, verified=VERIFICATION), 128, "max", True),
        (unsure(FAST, 32), 33, "max", False),  # its trial did not take more prompts yet
        (unsure(FAST, 32), 33, "front", True),  # its trial would have taken them at once
    ],
)
def test_a_verdict_that_more_prompts_would_not_change_is_not_resolved_again(
    result: Result, most: int, aim: Aim, is_resolved: bool
) -> None:
    left = inconclusive([result], Limits(score_loss=0.02), 32, most, 1, aim)
    assert left == ([] if is_resolved else [result])


def at(result: Result, trial: int, speedup: float, loss: float) -> Result:
    """The result of another trial, of another speed and loss, with as wide an interval."""
    return replace(
        result,
        trial=trial,
        speedup=Estimate(value=speedup, low=speedup, high=speedup),
        score_loss=Estimate(value=loss, low=loss - 0.02, high=loss + 0.02),
    )


@pytest.mark.parametrize(
    ("aim", "resolved"), [("max", [4]), ("combinations", [4, 1]), ("front", [4, 3, 2, 1])]
)
def test_each_combination_has_its_own_fastest_settings(aim: Aim, resolved: list[int]) -> None:
    first, second = (
        Setting.of({"tome": {"ratio": ratio, "max_downsample": 1}}) for ratio in (0.5, 0.6)
    )
    sure = Setting.of({"deepcache": {"cache_interval": 6, "cache_branch_id": 0}})
    results = [
        at(unsure(first, 32, verified=VERIFICATION), 0, 1.05, 0.005),
        at(unsure(second, 32), 1, 1.1, 0.006),
        at(unsure(SLOW, 32), 2, 1.5, 0.007),
        at(unsure(MIDDLE, 32), 3, 1.98, 0.008),
        at(unsure(FAST, 32), 4, 2.1, 0.01),
        at(unsure(sure, 32, verified=VERIFICATION), 5, 2.0, 0.009),
    ]
    left = inconclusive(results, Limits(score_loss=0.02), 32, 128, 1, aim)
    assert [result.trial for result in left] == resolved
