"""With a target, a setting that missed a limit by bad luck is measured again with more prompts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial

from tests.helpers.simulated import Bench, measurement, setting_of
from tuner.errors import TrialError
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.search.samplers import sampler
from tuner.setting import Setting
from tuner.storage.log import log_of
from tuner.storage.retries import RESOLVES, RETRIES

KNOBS = {"deepcache": {"cache_interval": (2, 3, 4, 5), "cache_branch_id": (0,)}}
SETTINGS = SLOWEST, SLOW, UNLUCKY, LOSSY = [
    Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": 0}})
    for interval in (2, 3, 4, 5)
]
SAMPLES, MAX_SAMPLES = 2, 8
TARGET = 1.4  # the speedup of `UNLUCKY`


class Unlucky(Bench):
    """Four settings; one of the two that are fast enough misses the limit on its first prompts."""

    def __init__(self, folder: Path, truth: float, trials: int = 4, **changes: object) -> None:
        values = {"sampler": "frontier", "search_targets": ("deepcache",), "knobs": KNOBS}
        super().__init__(folder, **values | changes | {"trials": trials})  # type: ignore[arg-type]
        self.truth = truth
        self.most = 2 * MAX_SAMPLES  # prompts that there are for a setting
        self.losses = {SLOWEST: 0.001, SLOW: 0.004, LOSSY: 0.08}

    def tell_sampler(self, samples: int, max_samples: int) -> None:
        """Tell the sampler the numbers of prompts, as `tuner run` does."""
        self.most = max_samples
        self.problem = replace(self.problem, num_samples=samples, max_samples=max_samples)
        begun = log_of(self.study).begun()
        self.study.sampler = sampler("frontier", self.spec.seed, self.problem, begun)

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        self.measured.append(setting)
        if (error := self.fails(setting)) is not None:
            raise error
        for prompts in range(2, self.most + 1, 2):
            loss = self.losses.get(setting, 0.022)
            half = 0.012 if setting == UNLUCKY else 0.004
            if setting == UNLUCKY and prompts == 2 * SAMPLES:
                loss, half = self.truth, 0.002
            interval = Estimate(value=loss, low=loss - half, high=loss + half)
            yield replace(measurement(setting), prompts=prompts, score_loss=interval)

    def second_looks(self) -> list[FrozenTrial]:
        trials = self.search(samples=SAMPLES, max_samples=MAX_SAMPLES, first=SETTINGS)
        return [trial for trial in trials if RESOLVES in trial.user_attrs]


def test_a_setting_that_just_missed_a_limit_is_measured_again_and_reaches_the_target(
    tmp_path: Path,
) -> None:
    bench = Unlucky(tmp_path, truth=0.012, trials=10, req_speedup=TARGET)
    (again,) = bench.second_looks()
    assert (setting_of(again), again.user_attrs[RESOLVES]) == (UNLUCKY, 2)
    assert again.user_attrs["prompts"] == 2 * SAMPLES
    assert bench.measured == [*SETTINGS, UNLUCKY]
    assert bench.is_over


def test_one_that_misses_again_is_not_measured_a_third_time(tmp_path: Path) -> None:
    bench = Unlucky(tmp_path, truth=0.022, trials=10, req_speedup=TARGET)
    assert len(bench.second_looks()) == 1
    assert bench.measured == [*SETTINGS, UNLUCKY]
    assert len(bench.second_looks()) == 1  # nor by another run


def test_one_whose_second_look_fails_is_left(tmp_path: Path) -> None:
    bench = Unlucky(tmp_path, truth=0.012, trials=10, req_speedup=TARGET)

    def fails(setting: Setting) -> Exception | None:
        return TrialError("out of memory") if bench.measured.count(setting) > 1 else None

    bench.fails = fails
    (again,) = bench.second_looks()
    assert again.user_attrs["reason"] == "out of memory"
    assert bench.measured == [*SETTINGS, UNLUCKY]


def test_no_trial_is_begun_once_the_study_has_its_number_of_trials(tmp_path: Path) -> None:
    assert Unlucky(tmp_path, truth=0.012, trials=4, req_speedup=TARGET).second_looks() == []


@pytest.mark.parametrize("target", [None, 1.45])
def test_without_a_target_or_one_that_it_cannot_reach_it_is_left(
    tmp_path: Path, target: float | None
) -> None:
    bench = Unlucky(tmp_path, truth=0.012, trials=10, req_speedup=target)
    assert [setting_of(trial) for trial in bench.second_looks()].count(UNLUCKY) == 0


def test_with_the_aim_front_a_trial_may_take_all_prompts_also_with_a_target(tmp_path: Path) -> None:
    bench = Unlucky(tmp_path, truth=0.022, trials=4, req_speedup=3.0)
    trials = bench.search(
        samples=SAMPLES, max_samples=MAX_SAMPLES, first=SETTINGS, aim="front", stops_early=True
    )
    assert max(trial.user_attrs["prompts"] for trial in trials) > 2 * SAMPLES


def test_there_is_no_second_look_without_further_prompts(tmp_path: Path) -> None:
    bench = Unlucky(tmp_path, truth=0.022, trials=10, req_speedup=TARGET)
    bench.tell_sampler(MAX_SAMPLES, MAX_SAMPLES)
    bench.search(samples=MAX_SAMPLES, max_samples=MAX_SAMPLES, first=SETTINGS)
    assert bench.measured == SETTINGS


def test_there_is_no_second_look_at_what_an_earlier_search_gave_as_many_prompts(
    tmp_path: Path,
) -> None:
    front = Unlucky(tmp_path, truth=0.022, trials=4)
    front.losses |= {UNLUCKY: 0.0201}  # inconclusive, so that it takes all prompts at once
    front.tell_sampler(SAMPLES, MAX_SAMPLES)
    front.search(
        samples=SAMPLES, max_samples=MAX_SAMPLES, first=SETTINGS, aim="front", stops_early=True
    )
    bench = Unlucky(tmp_path, truth=0.022, trials=10, req_speedup=TARGET)
    bench.tell_sampler(SAMPLES, MAX_SAMPLES)
    bench.search(samples=SAMPLES, max_samples=MAX_SAMPLES)
    assert UNLUCKY not in bench.measured


def test_an_interrupted_second_look_is_repeated_by_the_next_run(tmp_path: Path) -> None:
    bench = Unlucky(tmp_path, truth=0.012, trials=10, req_speedup=TARGET)
    bench.fails = lambda setting: KeyboardInterrupt() if setting in bench.measured[:-1] else None
    with pytest.raises(KeyboardInterrupt):
        bench.second_looks()
    assert bench.measured[-1] == UNLUCKY
    bench = Unlucky(tmp_path, truth=0.012, trials=10, req_speedup=TARGET)
    *_, again = bench.second_looks()
    assert (setting_of(again), again.user_attrs["prompts"]) == (UNLUCKY, 2 * SAMPLES)
    assert bench.measured == [UNLUCKY]


def test_a_second_look_that_is_cut_short_each_time_is_given_up(tmp_path: Path) -> None:
    for _ in range(RETRIES + 3):
        bench = Unlucky(tmp_path, truth=0.012, trials=10, req_speedup=TARGET)
        bench.fails = lambda setting: KeyboardInterrupt() if setting == UNLUCKY else None
        if not bench.study.trials:
            bench.fails = lambda setting: None
            bench.spec = replace(bench.spec, trials=4)
            bench.second_looks()
            continue
        try:
            looks = bench.second_looks()
        except KeyboardInterrupt:
            continue
    assert len(looks) == RETRIES + 1
    assert UNLUCKY not in bench.measured
