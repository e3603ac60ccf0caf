"""Our sampler: predicted speed, learned quality, and nothing proposed twice."""

import numpy as np
import optuna

from tests.search.frontier.world import LIMIT, World, create
from tuner.search.frontier.acquisition import hypervolume_improvement
from tuner.search.frontier.sampler import Bound
from tuner.setting import Setting
from tuner.storage.retries import QUEUED
from tuner.study.schema import VERIFIED


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


def test_a_setting_that_another_worker_has_just_reserved_is_not_proposed(world: World) -> None:
    sampler = world.sampler()
    study = create(sampler)
    ours, other = study.ask(), study.ask()
    propose, proposed = sampler.propose, []

    def propose_what_is_gone_meanwhile(study: optuna.Study, number: int) -> Setting | None:
        setting = propose(study, number)
        assert setting is not None
        if not proposed:
            other.set_user_attr("setting", setting.params)
        proposed.append(setting)
        return setting

    sampler.propose = propose_what_is_gone_meanwhile  # type: ignore[method-assign]
    assert world.canonical(world.space.suggest(ours)) == proposed[-1]
    assert len(set(proposed)) == len(proposed) == 2


def test_queued_settings_are_not_proposed() -> None:
    small = World("deepcache")
    study = create(small.sampler())
    first, *others = small.candidates.settings
    for setting in others:
        study.enqueue_trial(small.space.flat(setting), user_attrs={QUEUED: setting.params})
    assert study.sampler.propose(study, 1000) == first  # type: ignore[attr-defined]


def test_settings_beside_one_that_runs_and_is_likely_to_be_better_are_not_proposed(
    world: World,
) -> None:
    sampler = world.sampler()
    study = create(sampler)
    for setting in world.candidates.settings[::8]:
        trial = study.ask()
        study.tell(trial, world.tell(trial, setting))
    alone = sampler.propose(study, 1000)
    assert alone is not None
    study.ask().set_user_attr("setting", alone.params)
    beside = sampler.propose(study, 1000)
    assert beside is not None
    assert beside != alone
    sure = float(sampler.expected([alone])[0]) < LIMIT / 2
    assert not sure or world.speedup(beside) > world.speedup(alone)


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
    verification = {"score_loss": 0.4, "score_loss_ci": [0.39, 0.41], "speedup": 1.0, "prompts": 32}
    study.set_user_attr(VERIFIED, {"0": verification})
    sampler.propose(study, number=1)
    assert sampler.expected([setting])[0] > 0.3
    study.set_user_attr(VERIFIED, {"0": {"failed": "a black picture"}})
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
        return max(slow.speedup(setting) for setting in settings if slow.loss(setting) < LIMIT)

    best = best_of(slow.candidates.settings)
    assert best < 0.8
    assert best_of(slow.search(slow.sampler(), 2)) >= 0.99 * best


def test_with_the_aim_front_it_spreads_over_the_speeds(world: World) -> None:
    def area(settings: list[Setting]) -> float:
        losses = np.array([[world.loss(setting)] for setting in settings])
        total, front = 0.0, []
        for setting, loss in zip(settings, losses, strict=True):
            total += hypervolume_improvement(
                np.array([world.speedup(setting)]), loss[None], front, LIMIT
            )[0, 0]
            front.append((world.speedup(setting), float(loss[0])))
        return float(total)

    whole = area(world.candidates.settings)
    for_front = area(world.search(world.sampler(aim="front"), 25))
    at_random = area(world.search(optuna.samplers.RandomSampler(seed=0), 25))
    assert for_front > 0.9 * whole
    assert for_front > at_random


def test_a_large_space_is_sampled_and_expanded_around_the_best_settings() -> None:
    large = World("deepcache", "tome", "tgate")
    assert large.candidates.count > 400_000
    assert not large.candidates.complete
    assert len(large.candidates.settings) < 3_000
    first = large.candidates.settings[0]
    neighbours = large.candidates.neighbours(first)
    assert first not in neighbours
    flat = large.space.flat(first)
    for neighbour in neighbours:
        assert large.space.holds(neighbour)
        changed = [
            name for name, value in large.space.flat(neighbour).items() if value != flat[name]
        ]
        assert changed


def test_the_best_setting_may_be_none_of_the_sample_of_a_large_space() -> None:
    large = World("deepcache", "tome", "tgate")
    best = large.best_of(large.candidates.settings)
    sampler = large.sampler(target=lambda: 0.9 * best)
    study = create(sampler)
    seen = []
    for _ in range(6):
        trial = study.ask()
        seen.append(large.canonical(large.space.suggest(trial)))
        study.tell(trial, large.tell(trial, seen[-1]))
    assert not set(seen) <= set(large.candidates.settings)
    neighbours = [
        neighbour
        for setting in large.candidates.settings
        for neighbour in large.candidates.neighbours(setting)
    ]
    assert set(seen) & set(neighbours)


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
    late = [distance(setting) for setting in seen[-10:]]
    assert np.median(late) < 0.17


def test_the_speedup_of_a_setting_is_predicted_before_its_trial(world: World) -> None:
    sampler = world.sampler()
    study = create(sampler)
    settings = world.candidates.settings[::5]
    predictions = [sampler.prediction(study, setting) for setting in settings]
    errors = [
        abs(prediction.speedup / world.speedup(setting) - 1)
        for prediction, setting in zip(predictions, settings, strict=True)
        if prediction is not None
    ]
    assert len(errors) == len(settings)
    assert np.median(errors) < 0.03


def test_without_timed_steps_nothing_is_predicted(world: World) -> None:
    sampler = world.sampler(timed=[])
    assert sampler.prediction(create(sampler), world.candidates.settings[3]) is None
