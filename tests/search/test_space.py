"""The flat space: encoding settings as numbers and decoding them."""

import random
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.pipelines import tiny
from tests.helpers.simulated import Bench
from tests.test_setting import ACCELERATORS, settings
from tuner.canonical import canonical
from tuner.errors import UsageError
from tuner.plans.plan import shape_of
from tuner.search.frontier.candidates import Candidates
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.spec import StudySpec

WHOLE = Space.of(StudySpec(pipe="miniature"))
TARGETS = [chosen for count in (1, 2, 3) for chosen in combinations(ACCELERATORS, count)]


def test_known_good_settings_are_decoded_from_their_numbers() -> None:
    known = WHOLE.known_good()
    assert len(known) >= 10
    for setting in known:
        assert WHOLE.setting(WHOLE.flat(setting)) == setting


@given(settings())
def test_any_setting_is_decoded_from_its_numbers(setting: Setting) -> None:
    assert WHOLE.holds(setting)
    flat = WHOLE.flat(setting)
    assert WHOLE.setting(flat) == setting
    for name, distribution in WHOLE.distributions().items():
        assert distribution._contains(distribution.to_internal_repr(flat[name]))


@given(settings())
def test_a_trial_with_a_settings_numbers_suggests_it(setting: Setting) -> None:
    trial = optuna.trial.FixedTrial(WHOLE.flat(setting))
    assert WHOLE.suggest(trial) == setting


@pytest.mark.parametrize("targets", TARGETS, ids="+".join)
def test_a_sampler_proposes_only_accelerators_of_the_study(targets: tuple[str, ...]) -> None:
    space = Space.of(StudySpec(pipe="miniature", search_targets=targets))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    seen = [space.suggest(study.ask()) for _ in range(60)]
    for setting in seen:
        assert space.holds(setting)
        assert set(setting.params) <= set(targets)
    assert len({setting.combination for setting in seen}) > 1
    for setting in space.known_good():
        assert setting.accelerators
        assert space.holds(setting)


def test_known_good_settings_cover_every_combination_before_repeating_one() -> None:
    names = [setting.combination for setting in WHOLE.known_good()]
    assert len(set(names[:7])) == 7
    assert len(set(WHOLE.known_good())) == len(names)


def space_on(family: str, **changes: Any) -> Space:
    """A study's space for a tiny pipeline of a family, with its canonical form."""
    spec = StudySpec(**{"pipe": "miniature", "steps": 20} | changes)
    shape = shape_of(tiny(family), spec.resolution or 16)
    return Space.of(spec, partial(canonical, shape=shape, steps=spec.steps))


@pytest.mark.parametrize(("family", "steps"), [("sd", 20), ("sdxl", 20), ("sd", 8), ("sdxl", 2)])
def test_each_known_good_setting_is_a_computation_of_its_own(family: str, steps: int) -> None:
    space = space_on(family, steps=steps)
    computed = [space.canonical(setting) for setting in space.known_good()]
    assert computed
    assert all(setting.accelerators for setting in computed)
    assert len(set(computed)) == len(computed)


def test_on_sdxl_no_known_good_setting_merges_nothing() -> None:
    names = {setting.combination for setting in space_on("sdxl").known_good()}
    assert names == {"deepcache", "tgate", "deepcache+tgate"}
    assert "tome" in {setting.combination for setting in space_on("sd").known_good()}


@pytest.mark.parametrize("sampler", ["frontier", "tpe", "grid", "walk"])
@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("sd", {"steps": 1, "search_targets": ("deepcache",)}),
        ("sd", {"steps": 2, "search_targets": ("tgate",)}),
        (
            "sd",
            {"search_targets": ("deepcache",), "knobs": {"deepcache": {"cache_interval": (1,)}}},
        ),
        ("sd", {"search_targets": ("tome",), "knobs": {"tome": {"ratio": (0.0,)}}}),
        (
            "sd",
            {"search_targets": ("tome",), "resolution": 8, "knobs": {"tome": {"ratio": (0.05,)}}},
        ),
        ("sdxl", {"search_targets": ("tome",), "knobs": {"tome": {"max_downsample": (1,)}}}),
    ],
    ids=str,
)
def test_a_space_with_nothing_to_try_is_refused(
    family: str, changes: dict[str, Any], sampler: str
) -> None:
    space = space_on(family, sampler=sampler, **changes)
    with pytest.raises(UsageError, match=r"nothing to try: .* every value of"):
        space.check_something_to_try(20)


def test_a_space_with_one_setting_to_try_is_not_refused() -> None:
    space_on("sd", steps=2, search_targets=("deepcache",)).check_something_to_try(2)
    space_on("sd", steps=1).check_something_to_try(1)  # token merging is left
    space_on("sdxl", search_targets=("tome",)).check_something_to_try(20)


def test_the_whole_space_is_the_old_scripts_with_off() -> None:
    flat = {name: (d.low, d.high, d.step) for name, d in WHOLE.distributions().items()}
    assert flat == {
        "deepcache.cache_interval": (1, 5, 1),
        "deepcache.cache_branch_id": (0, 3, 1),
        "tome.ratio": (0.0, 0.9, 0.1),
        "tome.max_downsample": (1, 4, 1),
        "tgate.gate_step": (5, 20, 1),
        "tgate.sp_interval": (2, 9, 1),
        "tgate.fi_interval": (1, 5, 1),
        "tgate.warmup": (1, 3, 1),
    }


@given(
    st.sets(st.sampled_from(range(2, 40)), min_size=1, max_size=5),
    st.sets(st.sampled_from([0.05, 0.15, 0.4, 0.5, 0.75]), min_size=1),
    st.integers(0, 1000),
)
def test_only_values_of_narrowed_knobs_are_suggested(
    intervals: set[int], ratios: set[float], seed: int
) -> None:
    knobs = {
        "deepcache": {"cache_interval": tuple(intervals)},
        "tome": {"ratio": tuple(ratios)},
    }
    space = Space.of(StudySpec(pipe="miniature", search_targets=("deepcache", "tome"), knobs=knobs))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(5):
        setting = space.suggest(study.ask())
        assert space.holds(setting)
        assert space.setting(space.flat(setting)) == setting


NARROW = {
    "deepcache": {"cache_interval": (2, 5)},
    "tgate": {
        "gate_step": (5, 6, 15),
        "sp_interval": (7, 8, 9),
        "fi_interval": (3, 4, 5),
        "warmup": (3,),
    },
}


def test_settings_of_narrowed_knobs_are_compared_by_what_they_compute(tmp_path: Path) -> None:
    problem = Bench(tmp_path, steps=20, search_targets=("deepcache", "tgate"), knobs=NARROW).problem
    space = problem.space
    candidates = Candidates(space, problem.canonical).settings
    not_offered = [setting for setting in candidates if space.equivalent(setting) != setting]
    assert 0 < len(not_offered) < len(candidates)
    for setting in candidates:
        assert space.holds(setting)
        flat = space.flat(setting)
        assert all(value in space.offered()[name] for name, value in flat.items())
        assert problem.canonical(space.suggest(optuna.trial.FixedTrial(flat))) == setting
    warm = {"gate_step": 15, "sp_interval": 2, "fi_interval": 1, "warmup": 1}
    assert not space.holds(Setting.of({"tgate": warm}))


def test_the_neighbours_of_a_setting_are_of_narrowed_knobs(tmp_path: Path) -> None:
    problem = Bench(tmp_path, steps=20, search_targets=("deepcache", "tgate"), knobs=NARROW).problem
    candidates = Candidates(problem.space, problem.canonical)
    three = Setting.of(
        {"deepcache": {"cache_interval": 3, "cache_branch_id": 1}}
    )  # the knob offers 2 and 5
    for setting in [three, *candidates.settings[::5]]:
        neighbours = candidates.neighbours(setting)
        assert neighbours
        assert set(neighbours) <= set(candidates.settings)


def test_one_study_accepts_wider_narrower_and_gappy_knobs_in_turn(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(
        storage=storage, sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=1)
    )
    rng = random.Random(0)
    choices = [
        {},
        {"deepcache": {"cache_interval": (3,)}, "tome": {"ratio": (0.25,)}},
        {"deepcache": {"cache_interval": (2, 5, 9)}, "tome": {"ratio": (0.2, 0.25, 0.9)}},
        {"tome": {"ratio": (1,)}},
        {"tome": {"ratio": (0, 1)}},
        {"tgate": {"warmup": (0, 7), "gate_step": (2, 3)}},
    ]
    for knobs in choices * 2:
        space = Space.of(StudySpec(pipe="miniature", knobs=knobs))
        trial = study.ask()
        assert space.holds(space.suggest(trial))
        study.tell(trial, rng.random())


def test_of_two_accelerators_on_the_same_part_the_first_is_on() -> None:
    space = Space.of(StudySpec(pipe="miniature", search_targets=("deepcache", "tgate", "pab")))
    names = {setting.combination for setting in space.known_good()}
    assert names == {"deepcache", "tgate", "pab", "deepcache+tgate", "deepcache+pab"}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    combinations_seen = {space.suggest(study.ask()).combination for _ in range(60)}
    assert {"deepcache+tgate", "deepcache+pab"} <= combinations_seen
    both = {name: values[1] for name, values in space.offered().items()}
    assert space.setting(both).combination == "deepcache+tgate"
