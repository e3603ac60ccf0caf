"""Our sampler: predicted speed, modelled quality, and nothing proposed twice."""

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.study import StudyDirection

from tests.pipelines import LATENT_SIDE, tiny
from tests.search.study import Bench, racing, setting_of
from tuner.plans.features import Reuse, reuse, step_rows
from tuner.plans.plan import plan_of, shape_of
from tuner.search.frontier.acquisition import hypervolume_improvement
from tuner.search.frontier.candidates import Candidates
from tuner.search.frontier.context import Observation, SearchContext, observation
from tuner.search.frontier.feasibility import Bound
from tuner.search.frontier.sampler import FrontierSampler
from tuner.search.frontier.speed_model import TimedSteps
from tuner.search.space import Space
from tuner.setting import Setting, canonical
from tuner.spec import StudySpec
from tuner.study import record

STEPS = 20
LIMIT = 0.02


class World:
    """A study's space with a made-up truth: speed by the work, loss by what is reused."""

    def __init__(self, *targets: str) -> None:
        pipeline = tiny("sd")
        self.shape = shape_of(pipeline, LATENT_SIDE * pipeline.vae_scale_factor)
        self.space = Space.of(StudySpec(pipe="miniature", search_targets=targets))
        self.candidates = Candidates(self.space, self.canonical, seed=0)
        kinds = self.work(Setting()).shape[1]
        self.cost = np.linspace(0.5, 1.0, kinds)
        self.cost[1 : 2 + self.shape.branches] = np.linspace(2, 20, 1 + self.shape.branches)
        self.random = np.random.default_rng(0)
        self.harder = 1.0

    def canonical(self, setting: Setting) -> Setting:
        return canonical(setting, self.shape, STEPS)

    def plan(self, setting: Setting) -> Any:
        return plan_of(setting.accelerators, self.shape, STEPS)

    def work(self, setting: Setting) -> np.ndarray:
        return step_rows(self.plan(setting))

    def reuse(self, setting: Setting) -> Reuse:
        return reuse(self.plan(setting))

    def seconds(self, setting: Setting) -> np.ndarray:
        return self.work(setting) @ self.cost

    def speedup(self, setting: Setting) -> float:
        return float(self.seconds(Setting()).sum() / self.seconds(setting).sum())

    def loss(self, setting: Setting) -> float:
        points = self.reuse(setting).summary
        return float(self.harder * (0.06 * (points[2] * points[4]) + 0.02 * points[9] ** 2))

    def context(self) -> SearchContext:
        return SearchContext(
            candidates=self.candidates.settings,
            distributions=dict(self.space.distributions()),
            flat=lambda setting: dict(self.space.flat(setting)),
            work=self.work,
            reuse=self.reuse,
            neighbours=None if self.candidates.complete else self.candidates.neighbours,
        )

    def timed(self) -> list[TimedSteps]:
        whole = self.seconds(Setting()).sum()
        some = [Setting(), *self.candidates.settings[:: max(1, len(self.candidates.settings) // 5)]]
        return [
            TimedSteps(setting=one, steps=tuple(self.seconds(one) / whole), rest=0.0)
            for one in some
        ]

    def sampler(self, **arguments: Any) -> FrontierSampler:
        arguments = {"limit": LIMIT, "seed": 0, "timed": self.timed()} | arguments
        return FrontierSampler(self.context(), **arguments)

    def tell(self, trial: optuna.Trial, setting: Setting) -> tuple[float, float]:
        loss = self.loss(setting) + float(self.random.normal(0, 0.001))
        trial.set_user_attr("setting", setting.params)
        trial.set_user_attr("score_loss", loss)
        trial.set_user_attr("score_loss_ci", [loss - 0.002, loss + 0.002])
        trial.set_user_attr("speedup", self.speedup(setting))
        return self.speedup(setting), loss

    def search(self, sampler: optuna.samplers.BaseSampler, trials: int) -> list[Setting]:
        study = create(sampler)
        seen: list[Setting] = []

        def objective(trial: optuna.Trial) -> tuple[float, float]:
            seen.append(self.canonical(self.space.suggest(trial)))
            return self.tell(trial, seen[-1])

        study.optimize(objective, n_trials=trials)
        return seen

    def best_of(self, settings: list[Setting]) -> float:
        return max((self.speedup(one) for one in settings if self.loss(one) < LIMIT), default=1.0)


def create(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    """A study of speedup and score loss."""
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    return optuna.create_study(directions=directions, sampler=sampler)


@pytest.fixture(scope="module")
def prepared() -> World:
    """DeepCache and ToMe: 424 distinct settings."""
    return World("deepcache", "tome")


@pytest.fixture
def world(prepared: World) -> World:
    """The same with its own random generator, so that the tests do not depend on their order."""
    world = copy(prepared)
    world.random = np.random.default_rng(0)
    return world


def test_it_finds_the_best_setting_where_random_search_does_not(world: World) -> None:
    best = world.best_of(world.candidates.settings)
    ours = world.best_of(world.search(world.sampler(), 25))
    at_random = [
        world.best_of(world.search(optuna.samplers.RandomSampler(seed=seed), 25))
        for seed in range(3)
    ]
    assert ours >= 0.99 * best
    assert np.mean(at_random) < ours


def test_it_never_proposes_the_same_computation_twice(world: World) -> None:
    seen = world.search(world.sampler(), 40)
    assert len(set(seen)) == 40


def test_once_every_setting_was_tried_it_draws_at_random() -> None:
    small = World("deepcache")
    count = len(small.candidates.settings)
    assert count == 16
    seen = small.search(small.sampler(), count + 3)
    assert set(seen[:count]) == set(small.candidates.settings)


def test_settings_that_other_workers_measure_are_not_proposed(world: World) -> None:
    sampler = world.sampler()
    study = create(sampler)
    running = []
    for _ in range(6):
        trial = study.ask()
        running.append(world.canonical(world.space.suggest(trial)))
        trial.set_user_attr("setting", running[-1].params)
    assert len(set(running)) == 6


def test_a_queued_trial_keeps_its_numbers(world: World) -> None:
    study = create(world.sampler())
    wanted = world.candidates.settings[7]
    study.enqueue_trial(world.space.flat(wanted))
    assert world.canonical(world.space.suggest(study.ask())) == wanted


def test_with_more_prompts_per_setting_it_proposes_more_aggressive_ones(world: World) -> None:
    study = create(world.sampler())
    for setting in world.candidates.settings[::4]:
        study.enqueue_trial(world.space.flat(setting))
        trial = study.ask()
        world.space.suggest(trial)
        values = world.tell(trial, setting)
        trial.set_user_attr("score_loss_ci", [values[1] - 0.02, values[1] + 0.02])
        trial.set_user_attr("prompts", 32)
        study.tell(trial, values)

    def expected_loss(prompts: int) -> float:
        sampler = world.sampler(max_samples=prompts)
        setting = sampler.propose(study, number=1000)
        assert setting is not None
        return float(sampler.expected([setting])[0])

    assert expected_loss(32) < expected_loss(32_000)


def test_a_stopped_trial_trains_the_model(world: World) -> None:
    sampler = world.sampler()
    study = create(sampler)
    first = study.ask()
    setting = world.canonical(world.space.suggest(first))
    world.tell(first, setting)
    first.set_user_attr("score_loss", 0.4)
    first.set_user_attr("score_loss_ci", [0.3, 0.5])
    study.tell(first, state=optuna.trial.TrialState.PRUNED)
    before = world.sampler().expected([setting])[0]
    sampler.propose(study, number=1)
    assert sampler.expected([setting])[0] > 0.2 > before


def test_a_verification_replaces_the_trials_own_figures(world: World) -> None:
    study = create(world.sampler())
    first = study.ask()
    setting = world.canonical(world.space.suggest(first))
    study.tell(first, world.tell(first, setting))
    sampler = world.sampler()
    sampler.propose(study, number=1)
    assert sampler.expected([setting])[0] < 0.2
    again = {"score_loss": 0.4, "score_loss_ci": [0.39, 0.41], "speedup": 1.0, "prompts": 32}
    study.set_user_attr(record.VERIFIED, {"0": again})
    sampler.propose(study, number=1)
    assert sampler.expected([setting])[0] > 0.3
    study.set_user_attr(record.VERIFIED, {"0": {"failed": "a black picture"}})
    assert sampler.propose(study, number=1) is not None


def test_speeds_that_timed_steps_do_not_predict_are_learned_from_trials() -> None:
    class Odd(World):
        def speedup(self, setting: Setting) -> float:
            return super().speedup(setting) * (1 + 0.5 * float(self.reuse(setting).summary[9]))

    odd = Odd("deepcache", "tome")
    sampler = odd.sampler()
    seen = odd.search(sampler, 25)
    best = odd.best_of(odd.candidates.settings)
    assert odd.best_of(seen) >= 0.98 * best


def test_where_nothing_is_faster_than_the_baseline_it_finds_the_fastest() -> None:
    slow = World("tome")
    slow.cost[2 + slow.shape.branches + 2 :: 4] = 9.0  # a merge costs more than it saves

    def best_of(settings: list[Setting]) -> float:
        return max(slow.speedup(one) for one in settings if slow.loss(one) < LIMIT)

    best = best_of(slow.candidates.settings)
    assert best < 0.8
    assert best_of(slow.search(slow.sampler(), 2)) >= 0.99 * best


def test_with_the_aim_front_it_spreads_over_the_speeds(world: World) -> None:
    def area(settings: list[Setting]) -> float:
        losses = np.array([[world.loss(one)] for one in settings])
        total, front = 0.0, []
        for one, loss in zip(settings, losses, strict=True):
            total += hypervolume_improvement(
                np.array([world.speedup(one)]), loss[None], front, LIMIT
            )[0, 0]
            front.append((world.speedup(one), float(loss[0])))
        return float(total)

    whole = area(world.candidates.settings)
    for_front = area(world.search(world.sampler(aim="front"), 25))
    at_random = area(world.search(optuna.samplers.RandomSampler(seed=0), 25))
    assert for_front > 0.9 * whole
    assert for_front > at_random


def test_a_warm_start_saves_trials(world: World) -> None:
    best = world.best_of(world.candidates.settings)

    def until_best(sampler: FrontierSampler) -> int:
        seen = world.search(sampler, 40)
        return next(n for n in range(1, 41) if world.best_of(seen[:n]) >= 0.99 * best)

    other = [
        Observation(setting=one, loss=1.1 * world.loss(one), error=0.001)
        for one in world.candidates.settings[::6]
    ]
    assert until_best(world.sampler(warm_start=other)) < until_best(world.sampler())


def test_a_source_studys_settings_are_placed_by_what_they_reuse_in_it(world: World) -> None:
    # In the source study a setting reuses what another one reuses in this one, as if it had
    # twice the steps.
    settings = world.candidates.settings
    in_source = dict(zip(settings, settings[1:] + settings[:1], strict=True))
    other = [
        Observation(setting=one, loss=world.loss(two), error=0.001, reused=world.reuse(two))
        for one, two in list(in_source.items())[::4]
    ]
    misplaced = [replace(one, reused=None) for one in other]
    truth = np.array([world.loss(one) for one in settings])

    def error(related: list[Observation]) -> float:
        return float(np.abs(world.sampler(warm_start=related).expected(settings) - truth).mean())

    assert error(other) < 0.1 * error([])
    assert error(misplaced) > 2 * error(other)


def test_a_warm_start_includes_the_extra_metrics(world: World) -> None:
    def distance(setting: Setting) -> float:
        return float(0.15 * (world.speedup(setting) / 1.5) ** 4)  # over the limit from 1.5x on

    bound = Bound(name="lpips", limit=0.15, above=False)
    other = [
        Observation(
            setting=one,
            loss=world.loss(one),
            error=0.001,
            others={"lpips": (distance(one), 0.001)},
        )
        for one in world.candidates.settings[::6]
    ]

    def first(related: list[Observation]) -> float:
        (proposed,) = world.search(world.sampler(bounds=[bound], warm_start=related), 1)
        return world.speedup(proposed)

    assert 1.4 < first(other) < 1.75 < first([replace(one, others={}) for one in other])


def test_a_large_space_is_sampled_and_expanded_around_the_best_settings() -> None:
    large = World("deepcache", "tome", "tgate")
    assert large.candidates.count > 400_000
    assert not large.candidates.complete
    assert len(large.candidates.settings) < 3_000
    first = large.candidates.settings[0]
    neighbours = large.candidates.neighbours(first)
    assert first not in neighbours
    flat = large.space.flat(first)
    for one in neighbours:
        assert large.space.holds(one)
        changed = [name for name, value in large.space.flat(one).items() if value != flat[name]]
        assert changed


def test_trials_with_excluded_accelerators_train_the_model_and_are_not_proposed(
    tmp_path: Path,
) -> None:
    def bench(**changes: Any) -> Bench:
        made = racing(tmp_path, **changes)
        made.canonical = made.problem.canonical
        return made

    both = ("deepcache", "tome")
    before = bench(search_targets=both, trials=12, req_score_loss=0.005).search(32, races=True)
    stopped = [setting_of(one) for one in before if one.state.name == "PRUNED"]
    assert any(
        "tome" in one.params for one in stopped
    )  # the looser limit below revokes their verdicts
    after = bench(trials=22, req_score_loss=0.5).search(32, races=True)[len(before) :]
    settings = [setting_of(one) for one in after]
    assert {one.combination for one in settings} == {"deepcache"}
    assert len(set(settings)) == len(settings) == 10
    whole = bench(trials=100, req_score_loss=0.5).search(32, races=True)
    own = {setting_of(one) for one in whole if setting_of(one).combination == "deepcache"}
    assert len(own) == 16
    assert len(whole) < 40  # it ends although settings of excluded accelerators are untried


def test_an_observation_is_read_from_a_trials_attributes() -> None:
    stored = {
        "setting": {"deepcache": {"cache_interval": 3, "cache_branch_id": 0}},
        "score_loss": 0.01,
        "score_loss_ci": [float("-inf"), float("inf")],
        "speedup": 2.0,
    }
    result = observation(stored)
    assert result.setting.combination == "deepcache"
    assert (result.loss, result.speedup) == (0.01, 2.0)
    assert 0 < result.error < 1  # one prompt says little, but not nothing


def test_limits_of_extra_metrics_are_kept_as_well(world: World) -> None:
    def distance(setting: Setting) -> float:
        return world.speedup(setting) / 10  # what is over 1.5x is too far from the baseline

    bound = Bound(name="lpips", limit=0.15, above=False)
    sampler = world.sampler(bounds=[bound])
    study = create(sampler)
    seen: list[Setting] = []

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        seen.append(world.canonical(world.space.suggest(trial)))
        away = distance(seen[-1])
        figures = {"lpips": {"value": away, "ci": [away - 0.01, away + 0.01]}}
        trial.set_user_attr("fidelity", figures)
        return world.tell(trial, seen[-1])

    study.optimize(objective, n_trials=25)
    late = [distance(one) for one in seen[-10:]]
    assert np.median(late) < 0.17
