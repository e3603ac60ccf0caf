"""The loop on a made-up landscape: what it records, repeats, gives up and continues."""

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.pipelines import LATENT_SIDE, tiny
from tuner.accelerators._plan import shape_of
from tuner.errors import BadPictureError, TrialError, UnfitError
from tuner.measure.device import PeakMemory
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.search.loop import search
from tuner.search.record import results
from tuner.search.samplers import SAMPLERS, Problem, sampler
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage import RETRIES, Storage

EVALUATION: dict[str, object] = {"weights": "made up", "batch": 2}


def measurement(setting: Setting) -> Measurement:
    """The figures of a setting on the landscape: more of anything is faster and loses more."""
    strength = sum(sum(part.values().values()) for part in setting.accelerators)
    speedup, loss = 1 + strength / 10, strength / 500
    return Measurement(
        prompts=2,
        speedup=Estimate(value=speedup, low=speedup - 0.1, high=float("inf")),
        score_loss=Estimate(value=loss, low=loss - 0.01, high=loss + 0.01),
        latency_s=1 / speedup,
        score=30 * (1 - loss),
        fidelity={
            "ssim": Estimate(value=1 - loss * 5, low=1 - loss * 6, high=1 - loss * 4),
            "lpips": Estimate(value=loss * 10, low=loss * 9, high=loss * 11),
        },
        scores=[30 * (1 - loss)] * 2,
        ratios=[speedup],
        denoising=Estimate(value=speedup + 0.2, low=speedup, high=float("inf")),
        denoising_s=0.8 / speedup,
        unsteady="the speedup is known to ±9% only" if strength > 10 else None,
        memory=PeakMemory(device=None, host=2.0 - speedup / 10),
        same_pictures=not setting.accelerators,
    )


class Bench:
    """A study of the landscape in a database; remembers what was measured."""

    def __init__(
        self, folder: Path, evaluation: dict[str, object] = EVALUATION, **changes: object
    ) -> None:
        values = {"pipe": "miniature", "sampler": "random", "trials": 5} | changes
        self.spec = StudySpec(**values)  # type: ignore[arg-type]
        self.storage = Storage(f"sqlite:///{folder / 'tuner.db'}")
        opened = self.storage.open_replay if self.spec.replay else self.storage.open_study
        self.study = opened(self.spec.triple, evaluation)
        pipeline = tiny("sd")
        self.problem = Problem(
            space=Space.of(self.spec),
            shape=shape_of(pipeline, LATENT_SIDE * pipeline.vae_scale_factor),
            steps=self.spec.steps,
            limits=Goal.of(self.spec).limits,
            timed=lambda settings: [],
            distinct=self.spec.distinct,
        )
        self.study.sampler = sampler(self.spec.sampler, self.spec.seed, self.problem)
        self.measured: list[Setting] = []
        self.blocks = 0
        self.fails: Callable[[Setting], Exception | None] = lambda setting: None
        self.canonical: Callable[[Setting], Setting] = lambda setting: setting

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        self.measured.append(setting)
        error = self.fails(setting)
        if error is not None:
            raise error
        yield measurement(setting)

    def search(
        self,
        samples: int | None = None,
        races: bool = False,
        first: Sequence[Setting] = (),
    ) -> list[optuna.trial.FrozenTrial]:
        """Search as the spec says; every trial that is finished then."""
        search(
            study=self.study,
            storage=self.storage,
            space=Space.of(self.spec),
            goal=Goal.of(self.spec),
            measure=self.measure,
            canonical=self.canonical,
            trials=self.spec.trials,
            timeout=self.spec.timeout,
            samples=samples,
            races=races,
            first=first,
        )
        return [one for one in self.study.trials if one.state.is_finished()]


def setting_of(trial: optuna.trial.FrozenTrial) -> Setting:
    return Setting.of(trial.user_attrs["setting"])


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_searches_and_continues(name: str, tmp_path: Path) -> None:
    assert len(Bench(tmp_path, sampler=name, trials=16).search()) == 16
    again = Bench(tmp_path, sampler=name, trials=20)
    assert len(again.search()) == 20
    assert len(again.measured) <= 4


def test_the_known_good_settings_come_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path, trials=7)
    known = Space.of(bench.spec).known_good()
    assert [setting_of(one) for one in bench.search()] == known[:7]
    assert bench.measured == known[:7]


def test_settings_that_are_to_be_first_stand_for_the_known_good_ones(tmp_path: Path) -> None:
    first = [
        Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": 3}})
        for interval in (5, 4)
    ]
    knobs = {"deepcache": {"cache_interval": (4, 5), "cache_branch_id": (3,)}}
    bench = Bench(tmp_path, search_targets=("deepcache",), knobs=knobs, trials=2)
    bench.search(first=first)
    assert bench.measured == first
    again = Bench(tmp_path, search_targets=("deepcache",), knobs=knobs, trials=3)
    again.search(first=first)  # it has begun: nothing is first any more
    assert len(again.study.trials) == 3


def test_enough_trials_measure_nothing_more(tmp_path: Path) -> None:
    Bench(tmp_path).search()
    for trials in (5, 3):
        again = Bench(tmp_path, trials=trials)
        assert len(again.search()) == 5
        assert again.measured == []


def test_a_setting_that_comes_again_is_not_measured_again(tmp_path: Path) -> None:
    knobs = {"deepcache": {"cache_interval": (3,), "cache_branch_id": (0,)}}
    bench = Bench(tmp_path, search_targets=("deepcache",), knobs=knobs, trials=12)
    trials = bench.search()
    assert len(trials) == 12
    assert sorted(str(one) for one in bench.measured) == ["baseline", "deepcache 3/0"]
    for one in trials:
        figures = measurement(setting_of(one))
        assert one.values == [figures.speedup.value, figures.score_loss.value]
    repeated = [one for one in trials if "same_as" in one.user_attrs]
    assert len(repeated) == 10
    for one in repeated:
        earlier = trials[one.user_attrs["same_as"]]
        assert "same_as" not in earlier.user_attrs
        assert one.constraints == earlier.constraints


def test_a_second_measurement_counts_for_every_trial_of_its_setting(tmp_path: Path) -> None:
    knobs = {"deepcache": {"cache_interval": (3,), "cache_branch_id": (0,)}}
    bench = Bench(tmp_path, search_targets=("deepcache",), knobs=knobs, trials=6)
    trials = bench.search()
    bench.study.set_user_attr("verified", {"0": _refuted(trials[0].user_attrs)})
    found = [one for one in results(bench.study) if one.setting.accelerators]
    assert len(found) > 1
    assert not [one for one in found if one.feasible(Goal.of(bench.spec).limits)]


def test_a_continued_random_search_does_not_name_the_same_settings_again(tmp_path: Path) -> None:
    first = Bench(tmp_path, trials=30)
    first.search()
    again = Bench(tmp_path, trials=45)
    again.search()
    # 1,036,800 settings: that even one of fifteen comes twice by chance is next to impossible.
    assert not set(first.measured) & set(again.measured)
    assert len(again.measured) >= 14


def racing(folder: Path, **changes: object) -> Bench:
    """Trials of up to four blocks; a strong setting is hopeless after the first."""
    bench = Bench(folder, sampler="frontier", search_targets=("deepcache",), **changes)

    def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
        bench.measured.append(setting)
        for prompts in (8, 16, 24, 32):
            bench.blocks += 1
            yield replace(measurement(setting), prompts=prompts)

    bench.measure = measure  # type: ignore[method-assign]
    return bench


def test_a_hopeless_trial_is_stopped_and_never_on_the_front(tmp_path: Path) -> None:
    bench = racing(tmp_path, trials=16, req_score_loss=0.005)
    trials = bench.search(samples=32, races=True)
    stopped = [one for one in trials if one.state == TrialState.PRUNED]
    assert stopped and len(stopped) < len(trials)
    for one in stopped:
        assert one.user_attrs["prompts"] < 32
        assert one.user_attrs["score_loss"] > 0.005
        assert "certain to miss a limit after" in one.user_attrs["reason"]
    assert bench.blocks == sum(one.user_attrs["prompts"] for one in trials) / 8
    kept = {result.trial for result in results(bench.study)}
    assert kept == {one.number for one in trials} - {one.number for one in stopped}


def test_a_stopped_setting_is_measured_again_only_when_the_limit_lets_it(tmp_path: Path) -> None:
    knobs = {"deepcache": {"cache_interval": (5,), "cache_branch_id": (3,)}}
    first = racing(tmp_path, trials=2, req_score_loss=0.005, knobs=knobs)
    assert first.search(samples=32, races=True)[0].state == TrialState.PRUNED
    same = racing(tmp_path, trials=4, req_score_loss=0.004, knobs=knobs)
    same.search(samples=32, races=True)
    assert not [one for one in same.measured if one.accelerators]
    loose = racing(tmp_path, trials=8, req_score_loss=0.5, knobs=knobs)
    loose.search(samples=32, races=True)
    assert [str(one) for one in loose.measured if one.accelerators] == ["deepcache 5/3"]


def test_a_trial_behind_another_stops_and_is_measured_again_when_that_one_falls(
    tmp_path: Path,
) -> None:
    knobs = {"deepcache": {"cache_interval": (4, 5), "cache_branch_id": (0,)}}
    better, worse = (
        Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": 0}})
        for interval in (5, 4)
    )

    def search(trials: int) -> tuple[Bench, list[optuna.trial.FrozenTrial]]:
        bench = Bench(tmp_path, sampler="frontier", search_targets=("deepcache",), knobs=knobs,
                      trials=trials)  # fmt: skip

        def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
            bench.measured.append(setting)
            loss = 0.001 if setting == better else 0.012
            for prompts in (8, 32):
                yield replace(
                    measurement(setting),
                    prompts=prompts,
                    speedup=Estimate(value=2.0 if setting == better else 1.5, low=1.4, high=1.6),
                    score_loss=Estimate(value=loss, low=loss - 0.004, high=loss + 0.004),
                )

        bench.measure = measure  # type: ignore[method-assign]
        return bench, bench.search(samples=32, races=True, first=[better, worse])

    first, trials = search(2)
    assert [one.state for one in trials] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert trials[1].user_attrs["prompts"] == 8
    assert (
        trials[1].user_attrs["reason"].startswith("certain to be slower and lose more than trial 0")
    )
    again, trials = search(6)  # all was tried: what comes is at random, and not measured again
    assert worse not in again.measured
    first.study.set_user_attr("verified", {"0": _refuted(trials[0].user_attrs)})
    after, trials = search(7)
    assert after.measured == [worse]
    assert trials[6].state == TrialState.COMPLETE


def _refuted(kept: dict[str, object]) -> dict[str, object]:
    """A second measurement that is over the limit."""
    return kept | {"score_loss": 0.5, "score_loss_ci": [0.4, 0.6]}


def test_infinite_intervals_and_per_prompt_scores_are_kept(tmp_path: Path) -> None:
    trial = Bench(tmp_path, trials=1).search()[0]
    kept = trial.user_attrs
    assert kept["speedup_ci"][1] == float("inf")
    assert [float(score) for score in kept["scores"].split()] == pytest.approx(
        measurement(setting_of(trial)).scores, abs=1e-4
    )


def test_bad_pictures_fail_with_their_reason_and_are_not_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=6)
    bad = Space.of(bench.spec).known_good()[0]
    bench.fails = lambda setting: BadPictureError("it is black") if setting == bad else None
    trials = bench.search()
    assert bench.measured.count(bad) == 1
    assert [one.number for one in trials if one.state == TrialState.FAIL] == [0]
    assert trials[0].user_attrs["reason"] == "it is black"
    assert len(trials) == 6


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes\n do not match"),
        TrialError("out of memory"),
        ValueError(""),
        KeyError("down_blocks.1"),
        TypeError("forward() got an unexpected keyword argument"),
        IndexError("index 5 is out of range"),
        AssertionError("no tokens"),
        AttributeError("no attribute 'cache'"),
        NotImplementedError("not on this device"),
        OSError("no space left"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_crash_is_tried_twice_more_and_the_study_goes_on(
    error: Exception, tmp_path: Path
) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=8)
    crashes = Space.of(bench.spec).known_good()[0]
    bench.fails = lambda setting: error if setting == crashes else None
    trials = bench.search()
    assert len(trials) == 8
    failed = [one for one in trials if one.state == TrialState.FAIL]
    assert [setting_of(one) for one in failed] == [crashes] * (1 + RETRIES)
    assert bench.measured.count(crashes) == 3
    reason = failed[0].user_attrs["reason"]
    assert reason
    assert "\n" not in reason


def test_a_crash_that_passes_is_measured_at_the_next_try(tmp_path: Path) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=4)
    crashes = Space.of(bench.spec).known_good()[0]
    times = iter(range(9))
    bench.fails = lambda setting: (
        RuntimeError("once") if setting == crashes and next(times) == 0 else None
    )
    states = [one.state for one in bench.search() if setting_of(one) == crashes]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]


def test_a_misfit_is_the_users_to_mend(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.fails = lambda setting: UnfitError("tome needs a U-Net")
    with pytest.raises(UnfitError):
        bench.search()


def test_an_interrupted_trial_is_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=4)

    def interrupt(setting: Setting, trial: int) -> Iterator[Measurement]:
        raise KeyboardInterrupt
        yield

    bench.measure = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        bench.search()
    interrupted = bench.study.trials[0]
    assert interrupted.state == TrialState.FAIL
    assert interrupted.user_attrs["reason"] == "interrupted"
    again = Bench(tmp_path, search_targets=("tome",), trials=4)
    trials = again.search()
    assert setting_of(interrupted) in again.measured
    assert [one.state for one in trials].count(TrialState.FAIL) == 1


def test_a_target_stops_at_the_first_trial_that_meets_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, req_speedup=1.5, req_score_loss=0.5, trials=20)
    trials = bench.search()
    figures = [measurement(setting_of(one)).speedup.value for one in trials]
    assert figures[-1] >= 1.5
    assert all(one < 1.5 for one in figures[:-1])
    again = Bench(tmp_path, req_speedup=1.5, req_score_loss=0.5, trials=20)
    again.search()
    assert again.measured == []


def test_the_baseline_itself_does_not_meet_a_target(tmp_path: Path) -> None:
    knobs = {"deepcache": {"cache_interval": (3,), "cache_branch_id": (3,)}}
    bench = Bench(
        tmp_path,
        search_targets=("deepcache",),
        knobs=knobs,
        req_speedup=0.5,
        req_score_loss=0.001,  # only the baseline is under it
        trials=12,
    )
    assert len(bench.search()) == 12


def test_a_changed_limit_judges_the_stored_trials_anew(tmp_path: Path) -> None:
    Bench(tmp_path, req_score_loss=0.02, trials=12).search()
    again = Bench(tmp_path, req_score_loss=0.04, trials=12)
    seen_at_once = again.search()
    assert again.measured == []
    stored = Bench(tmp_path, req_score_loss=0.04).study.trials
    for trials in (stored, seen_at_once):  # in the database; and by the sampler of that run
        losses = [one.values[1] for one in trials if one.values]
        verdicts = [one.constraints["0"] <= 0 for one in trials if one.values]
        assert verdicts == [loss < 0.04 for loss in losses] != [loss < 0.02 for loss in losses]


def test_other_limits_judge_the_stored_trials_anew(tmp_path: Path) -> None:
    Bench(tmp_path, req_score_loss=0.04, metrics=("ssim", "lpips"), trials=12).search()
    for limits in ({"ssim": 0.9}, {"lpips": 0.3, "ssim": 0.85}, {}, {"lpips": 0.15}):
        again = Bench(tmp_path, req_score_loss=0.04, limits=limits, trials=12)
        seen_at_once = again.search()
        assert again.measured == []
        stored = again.storage.study(again.study.study_name).trials
        for trials in (stored, seen_at_once):  # in the database; and by the sampler of that run
            for one in trials:
                speedup, loss = one.values
                verdicts = [value <= 0 for value in one.constraints.values()]
                assert verdicts == [
                    loss < 0.04,
                    *(1 - loss * 5 > limits["ssim"] for _ in limits.keys() & {"ssim"}),
                    *(loss * 10 < limits["lpips"] for _ in limits.keys() & {"lpips"}),
                ], (limits, speedup)


def test_settings_that_are_the_same_computation_are_measured_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=20)
    half = Setting.of({"tome": {"ratio": 0.5, "max_downsample": 1}})
    bench.canonical = lambda setting: half if setting.accelerators else setting
    trials = bench.search()
    assert {setting_of(one) for one in trials} <= {half, Setting()}
    assert len(bench.measured) == len(set(bench.measured)) <= 2


def test_no_time_means_no_hurry_and_a_little_time_ends_soon(tmp_path: Path) -> None:
    bench = Bench(tmp_path, trials=100_000, timeout=0.5)
    assert 1 <= len(bench.search()) < 1000


def test_a_trial_whose_process_died_is_failed_and_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=4)
    lost = Space.of(bench.spec).known_good()[0]
    bench.study.enqueue_trial(Space.of(bench.spec).flat(lost))
    trial = bench.study.ask()
    Space.of(bench.spec).suggest(trial)
    trial.set_user_attr("worker", f"{socket.gethostname()}:999999999/1")
    trials = bench.search()
    assert trials[0].state == TrialState.FAIL
    assert "process ended" in trials[0].user_attrs["reason"]
    assert setting_of(trials[1]) == lost
    assert trials[1].state == TrialState.COMPLETE
