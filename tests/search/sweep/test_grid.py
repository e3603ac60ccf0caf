"""Sweeps of a product: each point has one trial, in whatever order and number of runs."""

import random
from collections import Counter as Count
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from tests.helpers.pipelines import LATENT_SIDE, tiny
from tests.helpers.simulated import Bench, measurement, setting_of
from tests.search.sweep.small import (
    POINTS,
    SMALL,
    check_each_point_has_one_complete_trial,
    distinct,
    points_of,
    reopened,
)
from tuner.canonical import computation_of
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.plans.plan import shape_of
from tuner.search.space import Space
from tuner.search.sweep import grid as module
from tuner.search.sweep.grid import DistinctGrid, Grid, OptunasGrid, Scattered, grid
from tuner.search.sweep.sweep import Exhaustive, Points
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage.living_storage import LivingStorage


def test_each_point_has_one_trial(small: Bench) -> None:
    trials = small.search()
    assert len(trials) == POINTS
    check_each_point_has_one_complete_trial(small)
    assert all(
        setting.accelerators and len(setting.accelerators) == 2 for setting in small.measured
    )
    more = reopened(small)
    more.search()
    assert more.measured == []


def test_every_point_is_measured_even_if_it_computes_the_same_as_another(small: Bench) -> None:
    half = Setting.of({"tome": {"ratio": 0.5, "max_downsample": 1}})
    small.canonical = lambda setting: half
    small.search()
    assert small.measured == [half] * POINTS


def test_the_sampler_for_large_products_measures_the_same_as_optunas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEW", 0)
    ours = {point: trial.values for trial in Bench(tmp_path, **SMALL).search()
            for point in points_of([trial])}  # fmt: skip
    space = Space.of(StudySpec(pipe="miniature", **SMALL))
    theirs = optuna.create_study(
        directions=["maximize", "minimize"],
        sampler=optuna.samplers.GridSampler({k: list(v) for k, v in space.offered().items()}),
    )

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        figures = measurement(space.suggest(trial))
        return figures.speedup.value, figures.score_loss.value

    theirs.optimize(objective)
    assert ours == {points_of([trial])[0]: trial.values for trial in theirs.trials}


def test_small_products_use_optunas_sampler_and_large_ones_ours() -> None:
    def made(**changes: Any) -> object:
        return grid(Space.of(StudySpec(pipe="miniature", sampler="grid", **changes)), seed=0)

    assert type(made(search_targets=("tgate",))) is OptunasGrid  # 1,800
    assert type(made(search_targets=("tome", "tgate"))) is Grid


def test_the_whole_product_is_the_old_scripts() -> None:
    space = Space.of(StudySpec(sampler="grid"))
    points = Points(space.offered())
    assert points.count == 1_036_800
    assert {name: len(values) for name, values in space.offered().items()} == {
        "deepcache.cache_interval": 4,
        "deepcache.cache_branch_id": 4,
        "tome.ratio": 9,
        "tome.max_downsample": 4,
        "tgate.gate_step": 15,
        "tgate.sp_interval": 8,
        "tgate.fi_interval": 5,
        "tgate.warmup": 3,
    }
    order = Scattered(count=points.count, seed=42)
    seen = bytearray(points.count)
    for position in range(points.count):
        seen[order[position]] += 1
    assert set(seen) == {1}


@given(st.integers(1, 3000), st.integers(0, 2**32 - 1))
def test_a_scattered_order_contains_every_number_once(count: int, seed: int) -> None:
    order = Scattered(count=count, seed=seed)
    assert sorted(order[position] for position in range(count)) == list(range(count))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_points_are_numbered_in_the_order_of_nested_loops(sizes: list[int]) -> None:
    offered = {f"knob{place}": tuple(range(size)) for place, size in enumerate(sizes)}
    points = Points(offered)
    expected = [dict(zip(offered, values, strict=True)) for values in product(*offered.values())]
    assert [points[number] for number in range(points.count)] == expected


def test_no_trial_of_a_large_product_is_read_to_run_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, sampler="grid", trials=4)
    states_read: list[Any] = []
    read = LivingStorage._get_trials

    def recorded(self: Any, study: int, states: Any, *others: Any) -> list[FrozenTrial]:
        states_read.append(states)
        return read(self, study, states, *others)

    monkeypatch.setattr(LivingStorage, "_get_trials", recorded)
    assert len(bench.search()) == 4
    assert states_read.pop() is None  # by `Bench.search` itself, after the search
    assert set(states_read) == {(TrialState.WAITING,), (TrialState.RUNNING,)}


def test_the_number_of_trials_ends_a_sweep_before_its_last_point(small: Bench) -> None:
    small.spec = replace(small.spec, trials=5)
    assert len(small.search()) == 5
    reopened(small).search()
    check_each_point_has_one_complete_trial(small)


def test_a_sweep_never_stops_a_trial_early_and_gives_none_more_prompts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, **SMALL, req_score_loss=0.001)

    def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
        for prompts in (8, 16, 24, 32, 40):
            bench.batches += 1
            unsure = Estimate(value=0.001, low=-1.0, high=1.0)
            hopeless = Estimate(value=0.5, low=0.49, high=0.51)
            loss = unsure if setting.params["tome"]["ratio"] > 0.4 else hopeless
            yield replace(measurement(setting), prompts=prompts, score_loss=loss, timed=False)

    bench.measure = measure  # type: ignore[method-assign]
    trials = bench.search(samples=32, stops_early=True)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * POINTS
    assert {trial.user_attrs["prompts"] for trial in trials} == {32}


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_each_distinct_computation_has_one_trial(family: str, tmp_path: Path) -> None:
    chosen = {
        "search_targets": ("deepcache", "tome", "tgate"),
        "knobs": {
            "deepcache": {"cache_interval": (2, 3), "cache_branch_id": (0,)},
            "tome": {"ratio": (0.7, 0.8, 0.9), "max_downsample": (1, 2)},
            "tgate": {"gate_step": (6, 8), "sp_interval": (3, 9), "fi_interval": (5,)},
        },
    }
    bench = distinct(tmp_path, family, **chosen)
    assert isinstance(bench.study.sampler, DistinctGrid)
    pipeline = tiny(family)
    shape = shape_of(pipeline, LATENT_SIDE * pipeline.vae_scale_factor)
    space = Space.of(bench.spec)
    points = Points(space.offered())
    settings = [space.setting(points[number]) for number in range(points.count)]
    computations = {computation_of(setting, shape, 20) for setting in settings}
    assert 10 < len(computations) < points.count
    bench.spec = replace(bench.spec, trials=7)
    bench.search()  # and continues:
    bench = distinct(tmp_path, family, **chosen)
    trials = bench.search()
    assert len(trials) == len(computations)
    assert {computation_of(setting_of(trial), shape, 20) for trial in trials} == computations
    assert bench.study.sampler.reach(bench.study).left == 0  # type: ignore[attr-defined]


def test_part_of_a_scattered_grid_contains_all_values_about_equally_often() -> None:
    points = Points(Space.of(StudySpec(sampler="grid")).offered())
    order = Scattered(count=points.count, seed=random.Random(1).randrange(100))
    part = [points[order[position]] for position in range(1000)]
    for name, values in points.offered.items():
        often = Count(setting[name] for setting in part)
        assert set(often) == set(values)
        assert max(often.values()) < 2.5 * min(often.values()), name


def test_only_sweeps_are_exhaustive() -> None:
    assert not isinstance(optuna.samplers.RandomSampler(), Exhaustive)
