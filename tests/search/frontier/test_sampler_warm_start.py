"""A warm start: what the sampler takes from the trials of a source study."""

from dataclasses import replace

import numpy as np

from tests.search.frontier.world import World
from tuner.search.frontier.context import Observation
from tuner.search.frontier.sampler import Bound, FrontierSampler
from tuner.setting import Setting


def test_a_warm_start_saves_trials(world: World) -> None:
    best = world.best_of(world.candidates.settings)

    def until_best(sampler: FrontierSampler) -> int:
        seen = world.search(sampler, 40)
        return next(n for n in range(1, 41) if world.best_of(seen[:n]) >= 0.99 * best)

    source = [
        Observation(setting=setting, loss=1.1 * world.loss(setting), error=0.001)
        for setting in world.candidates.settings[::6]
    ]
    assert until_best(world.sampler(warm_start=source)) < until_best(world.sampler())


def test_a_source_studys_settings_are_placed_by_what_they_reuse_in_it(world: World) -> None:
    # In the source study a setting reuses what another one reuses in this one, as if it had
    # twice the steps.
    settings = world.candidates.settings
    in_source = dict(zip(settings, settings[1:] + settings[:1], strict=True))
    source = [
        Observation(
            setting=setting, loss=world.loss(shifted), error=0.001, reused=world.reuse(shifted)
        )
        for setting, shifted in list(in_source.items())[::4]
    ]
    misplaced = [replace(observation, reused=None) for observation in source]
    truth = np.array([world.loss(setting) for setting in settings])

    def error(observations: list[Observation]) -> float:
        return float(
            np.abs(world.sampler(warm_start=observations).expected(settings) - truth).mean()
        )

    assert error(source) < 0.1 * error([])
    assert error(misplaced) > 2 * error(source)


def test_a_warm_start_includes_the_extra_metrics(world: World) -> None:
    def distance(setting: Setting) -> float:
        return float(0.15 * (world.speedup(setting) / 1.5) ** 4)  # over the limit from 1.5x on

    bound = Bound(name="lpips", limit=0.15, above=False)
    source = [
        Observation(
            setting=setting,
            loss=world.loss(setting),
            error=0.001,
            others={"lpips": (distance(setting), 0.001)},
        )
        for setting in world.candidates.settings[::6]
    ]

    def first(observations: list[Observation]) -> float:
        (proposed,) = world.search(world.sampler(bounds=[bound], warm_start=observations), 1)
        return world.speedup(proposed)

    assert (
        1.4
        < first(source)
        < 1.75
        < first([replace(observation, others={}) for observation in source])
    )
