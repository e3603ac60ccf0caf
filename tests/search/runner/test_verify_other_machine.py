"""After a change of the machine or its versions, stored speedups are measured again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.helpers.simulated import Bench, measurement
from tuner.cli.answer import answer
from tuner.cli.tables import remarks
from tuner.limits import Limits
from tuner.measure.cache_keys import key_of
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.search.goal import OTHER_KEY, Goal
from tuner.search.runner.stopping import StoppingRule
from tuner.search.runner.verify import verify
from tuner.setting import Setting
from tuner.study.baseline import keep_baseline, key_old_trials
from tuner.study.results import Result, read_results

SLOW, MIDDLE, FAST = SETTINGS = [
    Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": 0}})
    for interval in (2, 3, 5)
]  # of 1.2×, 1.3× and 1.5×
LIMITS = Limits(score_loss=0.5)


class Moved(Bench):
    """Three settings that were measured on one machine; then the study continues on another."""

    def __init__(self, folder: Path, **changes: object) -> None:
        values = {"search_targets": ("deepcache",), "trials": 3, "req_score_loss": 0.5}
        super().__init__(folder, **values | changes)  # type: ignore[arg-type]
        self.machine, self.baseline_s = "old", 1.0
        self.speedups: dict[Setting, float] = {}  # where they differ from the simulated ones
        self.seen: list[Setting] = []
        self.search(first=SETTINGS)

    def measurement_of(self, setting: Setting) -> Measurement:
        figures = replace(
            measurement(setting), latency_key=self.machine, baseline_s=self.baseline_s
        )
        value = self.speedups.get(setting, figures.speedup.value)
        return replace(figures, speedup=Estimate(value=value, low=value, high=value))

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        self.measured.append(setting)
        yield self.measurement_of(setting)

    def move(self, machine: str, baseline_s: float, **speedups: float) -> None:
        """Continue on a machine; like a session, store its baseline before anything else."""
        self.machine, self.baseline_s = machine, baseline_s
        self.speedups = dict(zip(SETTINGS, speedups.values(), strict=False))
        keep_baseline(self.study, self.measurement_of(SLOW))

    def verify(self, goal: Goal) -> Result | None:
        def measure(result: Result, rule: StoppingRule) -> Iterator[Measurement]:
            self.seen.append(result.setting)
            yield self.measurement_of(result.setting)

        return verify(self.study, goal, measure, lambda result: None)

    @property
    def results(self) -> dict[Setting, Result]:
        return {result.setting: result for result in read_results(self.study)}


def test_a_speedup_of_another_machine_meets_no_target_before_it_is_measured_here(
    tmp_path: Path,
) -> None:
    bench, goal = Moved(tmp_path), Goal(limits=LIMITS, speedup=1.25)
    bench.move("new", 1.0, slow=1.1, middle=1.1, fast=1.1)
    assert goal.reached(list(bench.results.values())) is None
    assert [miss.text for miss in goal.misses(bench.results[FAST])] == [OTHER_KEY]
    assert bench.verify(goal) is None
    assert bench.seen == [FAST, MIDDLE]  # the third is too slow on either machine
    assert answer(bench.study, goal)[0].startswith("no setting met the goal")
    assert bench.results[FAST].speedup.value == 1.1


def test_a_latency_target_is_compared_with_the_current_baseline(tmp_path: Path) -> None:
    bench, goal = Moved(tmp_path), Goal(limits=LIMITS, latency_s=0.7)
    assert goal.reached(list(bench.results.values())) == bench.results[FAST]  # 1 s / 1.5
    bench.move("new", 3.0)
    assert bench.results[FAST].latency_s == pytest.approx(2.0)
    assert bench.verify(goal) is None
    assert bench.seen == []  # no stored speedup would reach it
    bench.move("newer", 0.6)
    verified = bench.verify(goal)
    assert verified is not None and verified.verified_now
    assert bench.seen == [FAST]
    assert verified.latency_s == pytest.approx(0.4)


def test_a_verification_on_another_machine_does_not_count(tmp_path: Path) -> None:
    bench, goal = Moved(tmp_path), Goal(limits=LIMITS, speedup=1.45)
    bench.move("new", 1.0)
    assert bench.verify(goal) is not None
    assert goal.reached(list(bench.results.values())) is not None
    bench.move("newer", 1.0, slow=1.0, middle=1.0, fast=1.2)
    assert goal.reached(list(bench.results.values())) is None
    assert bench.verify(goal) is None
    assert bench.seen == [FAST, FAST]


def test_a_verification_that_was_too_slow_on_another_machine_does_not_rule_a_setting_out(
    tmp_path: Path,
) -> None:
    bench, goal = Moved(tmp_path), Goal(limits=LIMITS, speedup=1.45)
    bench.move("new", 1.0, slow=1.0, middle=1.0, fast=1.2)
    assert bench.verify(goal) is None
    bench.move("old", 1.0)
    verified = bench.verify(goal)
    assert verified is not None and verified.setting == FAST
    assert bench.seen == [FAST, FAST]


def test_a_search_with_a_target_first_leaves_results_of_another_machine_to_verification(
    tmp_path: Path,
) -> None:
    Moved(tmp_path).move("new", 1.0)
    moved = Moved(tmp_path, req_speedup=1.45, trials=9)
    assert moved.measured == []
    assert moved.verify(Goal.of(moved.spec)) is not None


@pytest.mark.parametrize(
    ("machine", "state"), [("old", TrialState.PRUNED), ("new", TrialState.COMPLETE)]
)
def test_no_trial_is_stopped_for_a_rival_of_another_machine(
    machine: str, state: TrialState, tmp_path: Path
) -> None:
    bench = Moved(tmp_path)
    bench.move(machine, 1.0)

    def slow(setting: Setting, trial: int) -> Iterator[Measurement]:
        loss = Estimate(value=0.1, low=0.09, high=0.11)
        for prompts in (8, 16, 24, 32):
            speedup = Estimate(value=1.1, low=1.1, high=1.1)
            figures = replace(bench.measurement_of(setting), prompts=prompts, score_loss=loss)
            yield replace(figures, speedup=speedup)

    bench.measure = slow  # type: ignore[method-assign]
    bench.spec = replace(bench.spec, trials=4)
    other = Setting.of({"deepcache": {"cache_interval": 4, "cache_branch_id": 1}})
    bench.study.enqueue_trial(dict(bench.problem.space.flat(other)))
    assert bench.search(samples=32, stops_early=True)[-1].state == state


def test_without_a_target_the_answer_is_the_fastest_as_measured_on_this_machine(
    tmp_path: Path,
) -> None:
    bench, goal = Moved(tmp_path), Goal(limits=LIMITS)
    bench.move("new", 4.0, slow=1.2, middle=1.25, fast=1.1)
    verified = bench.verify(goal)
    assert verified is not None
    assert (verified.setting, verified.speedup.value, verified.latency_s) == (MIDDLE, 1.25, 3.2)
    assert bench.seen == [FAST, MIDDLE]
    (line,) = answer(bench.study, goal)
    assert "deepcache 3/0, 1.25× (3.200 s per image)" in line
    assert "; verified: 1.25×, loss 0.60%" in line
    assert remarks(list(bench.results.values()))[-1] == (
        "timed on another machine or with other package versions than the baseline: "
        "deepcache 2/0 (1.20×)"
    )


def test_trials_without_a_latency_key_belong_to_the_last_baseline_of_the_study(
    tmp_path: Path,
) -> None:
    bench = Moved(tmp_path)
    assert not any("latency_s" in trial.user_attrs for trial in bench.study.trials)
    old = Bench(tmp_path, steps=20)  # of a version that stored latencies, and no keys
    for trial in bench.study.trials:
        stored = {k: v for k, v in trial.user_attrs.items() if k != "latency_key"}
        trial.user_attrs = stored | {"latency_s": 77.0, "denoising_s": 66.0}
        old.study.add_trial(trial)
    parts = {"threads": 8, "device": "cpu"}
    old.study.set_user_attr("baseline_parts", parts | {"seed": 1, "prompts": "4", "metric": "m"})
    old.study.set_user_attr("baseline", {"latency_s": 3.0, "score": 30.0})
    first = next(result for result in read_results(old.study) if result.setting == FAST)
    assert (first.latency_s, first.denoising_s, first.current) == (2.0, None, True)
    key_old_trials(old.study)
    for key, current in ((key_of(parts), True), (key_of(parts | {"threads": 1}), False)):
        keep_baseline(old.study, replace(bench.measurement_of(FAST), latency_key=key))
        key_old_trials(old.study)  # the second call changes nothing
        assert {result.current for result in read_results(old.study)} == {current}
