"""A search with `min_gain` ends once no setting is expected to improve the result by that share."""

from copy import copy

import numpy as np
import pytest

from tests.search.frontier.world import World, create
from tuner.errors import UsageError
from tuner.sampler_table import SAMPLERS
from tuner.setting import Setting
from tuner.spec import AIMS, Aim, StudySpec


def searched(
    world: World, min_gain: float | None, aim: Aim = "max", most: int = 60
) -> list[Setting]:
    """The settings that are measured until the search has ended, `most` at most."""
    world = fresh(world)
    sampler = world.sampler(min_gain=min_gain, aim=aim)
    study, seen = create(sampler), list[Setting]()
    while not sampler.has_ended(study) and len(seen) < most:
        trial = study.ask()
        seen.append(world.canonical(world.space.suggest(trial)))
        study.tell(trial, world.tell(trial, seen[-1]))
    return seen


def fresh(world: World) -> World:
    """The same world, with the same noise in the same order."""
    world = copy(world)
    world.random = np.random.default_rng(0)
    return world


def test_it_ends_with_a_result_that_leaves_little_to_gain(world: World) -> None:
    seen = searched(world, 0.002)
    assert len(seen) < 30
    assert world.best_of(seen) >= 0.98 * world.best_of(world.candidates.settings)


@pytest.mark.parametrize("aim", AIMS)
def test_with_every_aim_it_ends_the_later_the_less_is_to_be_left(world: World, aim: Aim) -> None:
    counts = [len(searched(world, min_gain, aim)) for min_gain in (0.1, 0.02, 0.005)]
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[-1]


def test_it_does_not_end_by_itself_without_it(world: World) -> None:
    assert len(searched(world, None, most=20)) == 20


def test_whether_it_has_ended_changes_no_proposal(world: World) -> None:
    other = fresh(world)
    assert searched(world, 1e-12, most=10) == other.search(other.sampler(), 10)


def test_it_says_why_it_has_ended(world: World) -> None:
    sampler = world.sampler(min_gain=0.5)
    study = create(sampler)
    assert not sampler.has_ended(study)  # nothing was measured
    for _ in range(3):
        trial = study.ask()
        study.tell(trial, world.tell(trial, world.canonical(world.space.suggest(trial))))
    assert sampler.has_ended(study)
    assert sampler.why_ended() == "no setting is expected to improve the result by 50%"


def test_where_every_setting_was_tried_that_is_why() -> None:
    small = World("deepcache")
    sampler = small.sampler(min_gain=1e-12)
    study = create(sampler)
    for setting in small.candidates.settings:
        trial = study.ask({})
        study.tell(trial, small.tell(trial, setting))
    assert sampler.has_ended(study)
    assert sampler.why_ended() == "every setting was tried"


def test_what_runs_elsewhere_counts_as_measured(world: World) -> None:
    """A worker that joins does not begin what the running trials may make unnecessary."""
    sampler = world.sampler(min_gain=0.002)
    study = create(sampler)
    alone = world.sampler(min_gain=0.002)
    for _ in range(4):
        trial = study.ask()
        study.tell(trial, world.tell(trial, world.canonical(world.space.suggest(trial))))
    before = alone.has_ended(study), alone._gain
    running = study.ask()
    running.set_user_attr("setting", world.canonical(world.space.suggest(running)).params)
    assert not before[0]
    alone.has_ended(study)
    assert alone._gain < before[1]


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "frontier"])
def test_every_other_sampler_is_refused_with_it(name: str) -> None:
    with pytest.raises(UsageError, match=f"works with the sampler frontier only, not {name}"):
        StudySpec(pipe="miniature", sampler=name, min_gain=0.1)
