"""A search that ends at a target speedup: what the sampler proposes then."""

from dataclasses import replace

import numpy as np
import pytest

from tests.search.frontier.world import LIMIT, World, create
from tuner.search.frontier.context import Observation, Timing


def known(world: World) -> list[Observation]:
    """A source study that has measured every fourth setting."""
    return [
        Observation(setting=setting, loss=world.loss(setting), error=0.001)
        for setting in world.candidates.settings[::4]
    ]


def test_the_first_proposal_reaches_the_target_and_loses_less_than_the_fastest(
    world: World,
) -> None:
    target = 0.8 * world.best_of(world.candidates.settings)
    (chosen,) = world.search(world.sampler(warm_start=known(world), target=lambda: target), 1)
    (fastest,) = world.search(world.sampler(warm_start=known(world)), 1)
    assert world.speedup(chosen) >= target
    assert world.loss(chosen) < world.loss(fastest) < 2 * LIMIT
    within = [s for s in world.candidates.settings if world.speedup(s) >= target]
    assert world.loss(chosen) <= np.quantile([world.loss(setting) for setting in within], 0.1)


@pytest.mark.parametrize("share", [0.9, 0.97])
def test_a_target_is_reached_with_no_more_trials_than_without_knowing_it(
    share: float, world: World
) -> None:
    target = share * world.best_of(world.candidates.settings)

    def until_reached(**arguments: object) -> float:
        counts = []
        for seed in range(5):
            seen = world.search(world.sampler(seed=seed, **arguments), 40)
            reached = [world.speedup(s) >= target and world.loss(s) < LIMIT for s in seen]
            counts.append(reached.index(True) if True in reached else 40)
        return float(np.mean(counts))

    assert until_reached(target=lambda: target) <= until_reached()


def test_the_target_is_read_again_for_each_proposal(world: World) -> None:
    best = world.best_of(world.candidates.settings)
    target = [0.9 * best]
    sampler = world.sampler(warm_start=known(world), target=lambda: target[0])
    study = create(sampler)

    def speedup() -> float:
        trial = study.ask()
        setting = world.canonical(world.space.suggest(trial))
        study.tell(trial, world.tell(trial, setting))
        return world.speedup(setting)

    assert speedup() >= 0.9 * best
    target[0] = 0.6 * best
    assert 0.6 * best <= speedup() < 0.9 * best


def test_where_no_setting_is_likely_to_reach_the_target_the_fastest_is_looked_for(
    world: World,
) -> None:
    best = world.best_of(world.candidates.settings)
    beyond = world.sampler(warm_start=known(world), target=lambda: 100.0)
    seen = world.search(beyond, 12)
    assert world.best_of(seen) >= 0.97 * best


def test_the_less_reliable_predictions_are_the_faster_is_what_is_verified_at_once(
    world: World,
) -> None:
    target = 0.85 * world.best_of(world.candidates.settings)

    def margin(off: float) -> float:
        """By how much it is faster than the target, where predictions were off by a factor."""
        source = [
            replace(
                observation,
                timing=Timing(speedup=speedup, pairs=3, predicted=speedup * off),
                speedup=speedup,
            )
            for observation in known(world)
            for speedup in [world.speedup(observation.setting)]
        ]
        sampler = world.sampler(warm_start=source, target=lambda: target)
        likely = sampler.likely(create(sampler))
        assert likely is not None
        return world.speedup(likely) / target

    assert margin(1.08) > margin(1.0) >= 1.0


def test_a_setting_that_missed_a_limit_does_not_keep_a_search_with_least_gain_from_ending() -> None:
    world = World("deepcache", "tgate")
    noise = np.random.default_rng(0)
    best = world.best_of(world.candidates.settings)
    prompts = {"num_samples": 32, "max_samples": 128}
    sampler = world.sampler(target=lambda: 3 * best, min_gain=0.005, **prompts)
    study = create(sampler)
    while not sampler.has_ended(study):
        assert len(study.trials) < 30
        trial = study.ask()
        setting = world.canonical(world.space.suggest(trial))
        speedup, loss = world.tell(trial, setting)
        loss = world.loss(setting) + float(noise.normal(0, 0.003))
        trial.set_user_attr("score_loss", loss)
        trial.set_user_attr("score_loss_ci", [loss - 0.006, loss + 0.006])
        trial.set_user_attr("prompts", 32)
        key, missed = "constraints", [loss - LIMIT]
        study._storage.set_trial_system_attr(trial._trial_id, key, missed)
        study.tell(trial, (speedup, loss))
    assert study.trials
