"""A test bench: a study whose measurements are simulated by a formula, without any model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna

from tests.helpers.pipelines import LATENT_SIDE, tiny
from tuner.canonical import canonical
from tuner.measure.device import PeakMemory
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.plans.plan import shape_of
from tuner.search.deadline import Deadline
from tuner.search.goal import Goal
from tuner.search.problem import Problem
from tuner.search.runner.observer import Observer
from tuner.search.runner.run import Search
from tuner.search.samplers import sampler
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.spec import Aim, StudySpec
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.study.baseline import Baseline

EVALUATION: dict[str, object] = {
    "weights": "made up",
    "guidance": 2.0,
    "resolution": 64,
    "dtype": "float32",
    "seed": 42,
    "batch": 2,
}


def measurement(setting: Setting) -> Measurement:
    """Simulated figures: the greater a setting's values, the faster it is and the more it loses."""
    strength = sum(sum(part.values().values()) for part in setting.accelerators)
    speedup, loss = 1 + strength / 10, strength / 500
    return Measurement(
        prompts=2,
        speedup=Estimate(value=speedup, low=speedup - 0.1, high=float("inf")),
        score_loss=Estimate(value=loss, low=loss - 0.01, high=loss + 0.01),
        baseline_s=1.0,
        score=30 * (1 - loss),
        fidelity={
            "ssim": Estimate(value=1 - loss * 5, low=1 - loss * 6, high=1 - loss * 4),
            "lpips": Estimate(value=loss * 10, low=loss * 9, high=loss * 11),
        },
        scores=[30 * (1 - loss)] * 2,
        numbers=[0, 1],
        ratios=[speedup],
        denoising=Estimate(value=speedup + 0.2, low=speedup, high=float("inf")),
        baseline_denoising_s=0.8,
        unsteady="the speedup is known to ±9% only" if strength > 10 else None,
        memory=PeakMemory(device=None, host=2.0 - speedup / 10),
        same_pictures=not setting.accelerators,
    )


@cache
def _empty() -> bytes:
    """The bytes of a new database: copying them is faster than creating its tables each time."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "tuner.db"
        storage = Storage(f"sqlite:///{file}")
        storage.engine.dispose()
        storage.optuna.engine.dispose()
        return file.read_bytes()


class Bench:
    """A study in a database with simulated measurements; `measured` lists the measured settings."""

    def __init__(
        self, folder: Path, evaluation: dict[str, object] = EVALUATION, **changes: object
    ) -> None:
        values = {"pipe": "miniature", "sampler": "random", "trials": 5} | changes
        self.spec = StudySpec(**values)  # type: ignore[arg-type]
        file = folder / "tuner.db"
        if not file.exists():
            file.write_bytes(_empty())
        self.storage = Storage(f"sqlite:///{file}")
        opened = self.storage.open_sweep if self.spec.sweep else self.storage.open_study
        self.study = opened(self.spec.triple, evaluation)
        pipeline = tiny("sd")
        shape = shape_of(pipeline, LATENT_SIDE * pipeline.vae_scale_factor)
        self.problem = Problem(
            space=Space.of(self.spec, partial(canonical, shape=shape, steps=self.spec.steps)),
            shape=shape,
            steps=self.spec.steps,
            limits=Goal.of(self.spec).limits,
            timed=lambda settings: [],
            distinct=self.spec.distinct,
            target=self.target if Goal.of(self.spec).has_target else None,
        )
        self.study.sampler = sampler(
            self.spec.sampler, self.spec.seed, self.problem, log_of(self.study).begun()
        )
        self.measured: list[Setting] = []
        self.batches = 0
        self.is_over = False  # of the last search
        self.fails: Callable[[Setting], Exception | None] = lambda setting: None
        self.canonical: Callable[[Setting], Setting] = lambda setting: setting

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        self.measured.append(setting)
        error = self.fails(setting)
        if error is not None:
            raise error
        yield measurement(setting)

    def target(self) -> float:
        """The speedup that reaches the goal."""
        return Goal.of(self.spec).least_speedup(Baseline.of(self.study.user_attrs).latency_s) or 1.0

    def search(
        self,
        samples: int | None = None,
        stops_early: bool = False,
        first: Sequence[Setting] | None = None,
        max_samples: int | None = None,
        observer: Observer | None = None,
        waits: bool = True,
        aim: Aim = "max",
    ) -> list[optuna.trial.FrozenTrial]:
        """Search as the spec says; returns the finished trials."""
        self.is_over = Search(
            study=self.study,
            space=self.problem.space,
            goal=Goal.of(self.spec),
            measure=self.measure,
            canonical=self.canonical,
            trials=self.spec.trials,
            deadline=Deadline.after(self.spec.timeout),
            samples=samples,
            max_samples=max_samples,
            stops_early=stops_early,
            first=first,
            observer=observer or Observer(),
            waits=waits,
            aim=aim,
        ).run()
        return [trial for trial in self.study.trials if trial.state.is_finished()]


def setting_of(trial: optuna.trial.FrozenTrial) -> Setting:
    return Setting.of(trial.user_attrs["setting"])


def batched_bench(folder: Path, **changes: object) -> Bench:
    """A bench that measures in four batches; aggressive settings are hopeless after the first."""
    values = {"sampler": "frontier", "search_targets": ("deepcache",)} | changes
    bench = Bench(folder, **values)  # type: ignore[arg-type]

    def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
        bench.measured.append(setting)
        for prompts in (8, 16, 24, 32):
            bench.batches += 1
            yield replace(measurement(setting), prompts=prompts)

    bench.measure = measure  # type: ignore[method-assign]
    return bench


def over_the_limit(stored: dict[str, object]) -> dict[str, object]:
    """A verification with the stored figures of a trial, but a loss over the limit."""
    return stored | {"score_loss": 0.5, "score_loss_ci": [0.4, 0.6]}
