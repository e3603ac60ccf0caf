"""With the aim `combinations` every combination of accelerators gets its own fastest setting."""

from itertools import combinations

from tests.search.frontier.world import LIMIT, World
from tuner.search.frontier.context import Observation

TARGETS = ("deepcache", "tome", "tgate")
EVERY = {"+".join(names) for count in (1, 2, 3) for names in combinations(sorted(TARGETS), count)}


def test_each_combination_gets_a_few_trials_and_a_feasible_setting() -> None:
    world = World(*TARGETS)
    seen = world.search(world.sampler(aim="combinations"), trials=28)
    tried = {name: [s for s in seen if _names(s) == name] for name in EVERY}
    assert {name: len(settings) >= 3 for name, settings in tried.items()} == dict.fromkeys(
        EVERY, True
    )
    assert all(min(map(world.loss, settings)) < LIMIT for settings in tried.values())


def test_the_fastest_of_a_combination_is_looked_for_within_it() -> None:
    world = World("deepcache", "tome")
    seen = world.search(world.sampler(aim="combinations"), trials=24)
    for name in ("deepcache", "tome", "deepcache+tome"):
        own = [setting for setting in world.candidates.settings if _names(setting) == name]
        tried = [setting for setting in seen if _names(setting) == name]
        assert world.best_of(tried) >= 0.95 * world.best_of(own), name


def test_a_combination_that_a_source_study_knows_needs_one_trial_before_others_get_more() -> None:
    world = World(*TARGETS)
    source = world.search(world.sampler(aim="combinations"), trials=28)
    known = [
        Observation(setting=setting, loss=world.loss(setting), error=0.001, speedup=None)
        for setting in source
    ]
    seen = world.search(world.sampler(aim="combinations", warm_start=known), trials=len(EVERY))
    assert sorted(map(_names, seen)) == sorted(EVERY)
    for name in EVERY:
        best = world.best_of([setting for setting in source if _names(setting) == name])
        assert world.best_of([s for s in seen if _names(s) == name]) >= 0.8 * best, name


def test_with_the_aim_max_slow_combinations_get_none() -> None:
    """Which is why there is another aim."""
    world = World(*TARGETS)
    seen = world.search(world.sampler(aim="max"), trials=28)
    assert EVERY - {_names(setting) for setting in seen}


def _names(setting: object) -> str:
    return "+".join(sorted(setting.params))  # type: ignore[attr-defined]
