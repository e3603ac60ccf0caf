"""Sweeps of a small product with simulated measurements."""

import socket
from itertools import product
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tests.helpers.pipelines import LATENT_SIDE, tiny
from tests.helpers.simulated import Bench
from tuner.canonical import computation_of
from tuner.plans.plan import shape_of
from tuner.search.space import Space
from tuner.search.sweep.grid import grid
from tuner.search.sweep.sweep import Reach
from tuner.spec import StudySpec
from tuner.storage.optuna_names import POINT

SMALL = {
    "sampler": "grid",
    "trials": None,
    "search_targets": ("deepcache", "tome"),
    "knobs": {
        "deepcache": {"cache_branch_id": (0, 2)},
        "tome": {"ratio": (0.2, 0.5), "max_downsample": (1,)},
    },
}

POINTS = 16

DEAD = f"{socket.gethostname()}:999999999/1"


def reopened(bench: Bench) -> Bench:
    """The same study, opened as another process would open it."""
    return Bench(Path(bench.storage.engine.url.database or "").parent, **SMALL)


def every_point(**changes: Any) -> set[tuple[tuple[str, Any], ...]]:
    """Every point of a product, by the values of its knobs."""
    offered = Space.of(StudySpec(pipe="miniature", **SMALL | changes)).offered()
    return {tuple(zip(offered, values, strict=True)) for values in product(*offered.values())}


def points_of(trials: list[FrozenTrial]) -> list[tuple[tuple[str, Any], ...]]:
    offered = Space.of(StudySpec(pipe="miniature", **SMALL)).offered()
    return [tuple((name, trial.params[name]) for name in offered) for trial in trials]


def check_each_point_has_one_complete_trial(bench: Bench) -> None:
    complete = bench.study.get_trials(states=(TrialState.COMPLETE,))
    assert len(every_point()) == len(complete) == POINTS
    assert set(points_of(complete)) == every_point()
    assert len({trial.system_attrs[POINT] for trial in complete}) == POINTS
    reach = bench.study.sampler.reach(bench.study)  # type: ignore[attr-defined]
    assert reach == Reach(passed=POINTS, points=POINTS)


def distinct(folder: Path, family: str, **changes: Any) -> Bench:
    """A sweep of distinct computations, on the shape of a model family."""
    bench = Bench(folder, **SMALL | {"distinct": True} | changes)
    pipeline = tiny(family)
    shape = shape_of(pipeline, LATENT_SIDE * pipeline.vae_scale_factor)
    bench.study.sampler = grid(
        Space.of(bench.spec), bench.spec.seed, lambda setting: computation_of(setting, shape, 20)
    )
    return bench
