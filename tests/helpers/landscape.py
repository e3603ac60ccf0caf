"""A made-up landscape of settings, and a study of it that remembers what was measured."""

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
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.storage.log import log_of

EVALUATION: dict[str, object] = {
    "weights": "made up",
    "guidance": 2.0,
    "resolution": 64,
    "dtype": "float32",
    "seed": 42,
    "batch": 2,
}


def measurement(setting: Setting) -> Measurement:
    """The figures of a setting on the landscape: more of anything is faster and loses more."""
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
    """A database with its tables, which take longer to make than to copy."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "tuner.db"
        made = Storage(f"sqlite:///{file}")
        made.engine.dispose()
        made.optuna.engine.dispose()
        return file.read_bytes()


class Bench:
    """A study of the landscape in a database; remembers what was measured."""

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
            has_target=Goal.of(self.spec).has_target,
        )
        self.study.sampler = sampler(
            self.spec.sampler, self.spec.seed, self.problem, log_of(self.study).begun()
        )
        self.measured: list[Setting] = []
        self.blocks = 0
        self.fails: Callable[[Setting], Exception | None] = lambda setting: None
        self.canonical: Callable[[Setting], Setting] = lambda setting: setting

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        self.measured.append(setting)
        error = self.fails(setting)
        if error is not None:
            raise error
        yield measurement(setting)

    def search(
        self,
        samples: int | None = None,
        races: bool = False,
        first: Sequence[Setting] = (),
        most: int | None = None,
        watch: Observer | None = None,
    ) -> list[optuna.trial.FrozenTrial]:
        """Search as the spec says; every trial that is finished then."""
        Search(
            study=self.study,
            space=self.problem.space,
            goal=Goal.of(self.spec),
            measure=self.measure,
            canonical=self.canonical,
            trials=self.spec.trials,
            deadline=Deadline.after(self.spec.timeout),
            samples=samples,
            max_samples=most,
            stops_early=races,
            first=first,
            observer=watch or Observer(),
        ).run()
        return [trial for trial in self.study.trials if trial.state.is_finished()]


def setting_of(trial: optuna.trial.FrozenTrial) -> Setting:
    return Setting.of(trial.user_attrs["setting"])


def racing(folder: Path, **changes: object) -> Bench:
    """Trials of up to four blocks; a strong setting is hopeless after the first."""
    values = {"sampler": "frontier", "search_targets": ("deepcache",)} | changes
    bench = Bench(folder, **values)  # type: ignore[arg-type]

    def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
        bench.measured.append(setting)
        for prompts in (8, 16, 24, 32):
            bench.blocks += 1
            yield replace(measurement(setting), prompts=prompts)

    bench.measure = measure  # type: ignore[method-assign]
    return bench


def refuted(kept: dict[str, object]) -> dict[str, object]:
    """A second measurement that is over the limit."""
    return kept | {"score_loss": 0.5, "score_loss_ci": [0.4, 0.6]}
