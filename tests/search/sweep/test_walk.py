"""The old script's walk: its order, what it skips, and where it ends."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.simulated import Bench, measurement, setting_of
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.search.space import Space
from tuner.search.sweep.walk import inverted_knobs, is_more_aggressive, loops
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.study.recording import store_verification
from tuner.study.results import read_results

# cache_interval 2, 3; gate_step 5, 6; ratio 0.1, 0.2: eight settings in the order of the loops.
SMALL = {
    "sampler": "walk",
    "trials": None,
    "knobs": {
        "deepcache": {"cache_interval": (2, 3), "cache_branch_id": (0,)},
        "tgate": {
            "gate_step": (5, 6),
            "sp_interval": (2,),
            "fi_interval": (1,),
            "warmup": (1,),
        },
        "tome": {"ratio": (0.1, 0.2), "max_downsample": (1,)},
    },
}
Short = tuple[int, int, float]


def short(setting: Setting) -> Short:
    """Cache interval, gate step and ratio."""
    on = setting.params
    return (
        int(on["deepcache"]["cache_interval"]),
        int(on["tgate"]["gate_step"]),
        on["tome"]["ratio"],
    )


def walked(
    folder: Path, figures: dict[Short, tuple[float, float]], **changes: object
) -> tuple[list[Short], Bench]:
    """What is run if settings have the given speedups and losses, and all others 1.1 and 50%."""
    bench = Bench(folder, **SMALL | changes)

    def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
        speedup, loss = figures.get(short(setting), (1.1, 0.5))
        bench.measured.append(setting)
        yield replace(
            measurement(setting),
            speedup=Estimate(value=speedup, low=speedup, high=speedup),
            score_loss=Estimate(value=loss, low=loss, high=loss),
        )

    bench.measure = measure  # type: ignore[method-assign]
    bench.search()
    return [short(setting) for setting in bench.measured], bench


LOOPS = [
    (2, 5, 0.1),
    (2, 5, 0.2),
    (2, 6, 0.1),
    (2, 6, 0.2),
    (3, 5, 0.1),
    (3, 5, 0.2),
    (3, 6, 0.1),
    (3, 6, 0.2),
]


def test_without_a_feasible_setting_it_goes_through_all_loops(tmp_path: Path) -> None:
    assert walked(tmp_path, {})[0] == LOOPS


def test_settings_with_no_knob_more_aggressive_than_the_bests_are_skipped(tmp_path: Path) -> None:
    # Relative to (2, 5, 0.2) a later gate is less aggressive, and no ratio is greater: only
    # interval 3 is more aggressive.
    ran, _ = walked(tmp_path, {(2, 5, 0.2): (1.5, 0.01)})
    assert ran == [(2, 5, 0.1), (2, 5, 0.2), *LOOPS[4:]]


def test_only_a_faster_feasible_setting_becomes_the_best(tmp_path: Path) -> None:
    # (3, 5, 0.1) is feasible but slower, and (3, 5, 0.2) faster but not feasible: the best stays
    # (2, 5, 0.1); more aggressive than that are both ratios 0.2 and all intervals 3.
    figures = {(2, 5, 0.1): (2.0, 0.01), (3, 5, 0.1): (1.5, 0.01), (3, 5, 0.2): (3.0, 0.03)}
    ran, _ = walked(tmp_path, figures)
    assert ran == [values for values in LOOPS if values != (2, 6, 0.1)]


def test_the_most_aggressive_setting_of_all_ends_the_walk(tmp_path: Path) -> None:
    ran, bench = walked(tmp_path, {(3, 5, 0.2): (2.0, 0.01)})
    assert ran == LOOPS[:6]
    assert bench.study.sampler.reach(bench.study).left == 0  # type: ignore[attr-defined]


def test_it_continues_at_its_position_with_the_best_so_far(tmp_path: Path) -> None:
    figures = {(2, 5, 0.2): (1.5, 0.01)}
    first, _ = walked(tmp_path, figures, trials=2)
    second, _ = walked(tmp_path, figures, trials=3)
    third, _ = walked(tmp_path, figures)
    assert first + second + third == [(2, 5, 0.1), (2, 5, 0.2), *LOOPS[4:]]


def test_it_ends_at_the_first_setting_that_meets_a_target(tmp_path: Path) -> None:
    figures = {(2, 5, 0.1): (3.0, 0.5), (2, 6, 0.1): (2.1, 0.01), (3, 5, 0.1): (9.0, 0.01)}
    ran, bench = walked(tmp_path, figures, req_speedup=2.0)
    assert ran == LOOPS[:3]
    assert [short(result.setting) for result in read_results(bench.study)] == ran


def test_skipped_points_stay_skipped_when_another_setting_becomes_the_best(tmp_path: Path) -> None:
    # The first best one skips (2, 6, …). The second best has a later gate, so that these are more
    # aggressive than it; still they stay skipped.
    figures = {(2, 5, 0.2): (1.5, 0.01), (3, 6, 0.1): (1.6, 0.01)}
    ran, _ = walked(tmp_path, figures)
    assert ran == [(2, 5, 0.1), (2, 5, 0.2), *LOOPS[4:]]


def test_the_loops_are_the_old_scripts() -> None:
    points = loops(Space.of(StudySpec(sampler="walk")).offered())
    assert points.count == 1_036_800
    assert list(points.offered) == [
        "deepcache.cache_interval",
        "deepcache.cache_branch_id",
        "tgate.gate_step",
        "tgate.sp_interval",
        "tgate.fi_interval",
        "tgate.warmup",
        "tome.ratio",
        "tome.max_downsample",
    ]
    assert points.offered["tome.max_downsample"] == (4, 3, 2, 1)
    assert points.offered["tgate.gate_step"] == tuple(range(5, 20))
    assert list(points[0].values())[::-1] == [2, 0, 5, 2, 1, 1, 0.1, 4]
    assert list(points[points.count - 1].values())[::-1] == [5, 3, 19, 9, 5, 3, 0.9, 1]


@pytest.mark.parametrize(
    ("knob", "greater", "is_more"),
    [
        ("deepcache.cache_interval", 3, True),
        ("deepcache.cache_branch_id", 3, False),
        ("tgate.gate_step", 10, False),
        ("tgate.sp_interval", 5, True),
        ("tgate.fi_interval", 3, True),
        ("tgate.warmup", 3, False),
        ("tome.ratio", 0.9, True),
        ("tome.max_downsample", 4, True),
    ],
)
def test_in_which_direction_a_knob_is_more_aggressive(
    knob: str, greater: float, is_more: bool
) -> None:
    smaller = {"tome.max_downsample": 2, "tome.ratio": 0.5}.get(knob, 2)
    assert is_more_aggressive({knob: greater}, {knob: smaller}, inverted_knobs()) is is_more
    assert is_more_aggressive({knob: smaller}, {knob: greater}, inverted_knobs()) is not is_more
    assert not is_more_aggressive({knob: smaller}, {knob: smaller}, inverted_knobs())


def test_a_trial_has_the_setting_of_its_point(tmp_path: Path) -> None:
    _, bench = walked(tmp_path, {})
    points = loops(Space.of(bench.spec).offered())
    for trial in bench.study.trials:
        assert trial.params == points[trial.system_attrs["grid_id"]]
        assert short(setting_of(trial)) == LOOPS[trial.system_attrs["grid_id"]]


def test_a_verification_between_two_runs_skips_no_other_settings(tmp_path: Path) -> None:
    figures = {(2, 5, 0.1): (2.0, 0.01), (2, 5, 0.2): (2.01, 0.01)}
    folders = [tmp_path / "without", tmp_path / "with"]
    walks = []
    for folder in folders:
        folder.mkdir()
        first, bench = walked(folder, figures, trials=2)
        if folder.name == "with":
            (again,) = bench.measure(bench.measured[0], 0)
            store_verification(bench.study, 0, again, Goal.of(bench.spec).limits)
        second, _ = walked(folder, figures)
        walks.append(first + second)
    assert walks[0] == walks[1]
