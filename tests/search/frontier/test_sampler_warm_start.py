"""A warm start: what the sampler takes from the trials of a source study."""

from dataclasses import replace

import numpy as np

from tests.search.frontier.world import World
from tuner.search.frontier.context import Observation
from tuner.search.frontier.sampler import Bound, FrontierSampler
from tuner.setting import Setting


def test_a_related_study_saves_trials(world: World) -> None:
    best = world.best_of(world.candidates.settings)

    def until_best(sampler: FrontierSampler) -> int:
        seen = world.search(sampler, 40)
        return next(n for n in range(1, 41) if world.best_of(seen[:n]) >= 0.99 * best)

    other = [
        Observation(setting=one, loss=1.1 * world.loss(one), error=0.001)
        for one in world.candidates.settings[::6]
    ]
    assert until_best(world.sampler(related=other)) < until_best(world.sampler())


def test_a_related_studys_settings_are_placed_by_what_they_reuse_there(world: World) -> None:
    # There a setting reuses what another one does here: of twice the steps, say.
    settings = world.candidates.settings
    there = dict(zip(settings, settings[1:] + settings[:1], strict=True))
    other = [
        Observation(setting=one, loss=world.loss(two), error=0.001, reused=world.reuse(two))
        for one, two in list(there.items())[::4]
    ]
    misplaced = [replace(one, reused=None) for one in other]
    truth = np.array([world.loss(one) for one in settings])

    def error(related: list[Observation]) -> float:
        return float(np.abs(world.sampler(related=related).expected(settings) - truth).mean())

    assert error(other) < 0.1 * error([])
    assert error(misplaced) > 2 * error(other)


def test_a_related_study_teaches_the_figures_beside_the_score(world: World) -> None:
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
        (proposed,) = world.search(world.sampler(bounds=[bound], related=related), 1)
        return world.speedup(proposed)

    assert 1.4 < first(other) < 1.75 < first([replace(one, others={}) for one in other])
