"""A simulated world for the sampler: speedup and loss of each setting, and searches in it."""

from typing import Any

import numpy as np
import optuna
from optuna.study import StudyDirection

from tests.helpers.pipelines import LATENT_SIDE, tiny
from tuner.canonical import canonical
from tuner.plans.features import Reuse, reuse, step_rows
from tuner.plans.plan import plan_of, shape_of
from tuner.search.frontier.candidates import Candidates
from tuner.search.frontier.context import SearchContext
from tuner.search.frontier.sampler import FrontierSampler
from tuner.search.frontier.speed_model import TimedSteps
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.spec import StudySpec

STEPS = 20

LIMIT = 0.02


class World:
    """A study's space with simulated figures: speed by the work, loss by what is reused."""

    def __init__(self, *targets: str) -> None:
        pipeline = tiny("sd")
        self.shape = shape_of(pipeline, LATENT_SIDE * pipeline.vae_scale_factor)
        self.space = Space.of(StudySpec(pipe="miniature", search_targets=targets))
        self.candidates = Candidates(self.space, self.canonical, seed=0)
        kinds = self.work(Setting()).shape[1]
        self.cost = np.linspace(0.5, 1.0, kinds)
        self.cost[1 : 2 + self.shape.branches] = np.linspace(2, 20, 1 + self.shape.branches)
        self.random = np.random.default_rng(0)
        self.harder = 1.0

    def canonical(self, setting: Setting) -> Setting:
        return canonical(setting, self.shape, STEPS)

    def plan(self, setting: Setting) -> Any:
        return plan_of(setting.accelerators, self.shape, STEPS)

    def work(self, setting: Setting) -> np.ndarray:
        return step_rows(self.plan(setting))

    def reuse(self, setting: Setting) -> Reuse:
        return reuse(self.plan(setting))

    def seconds(self, setting: Setting) -> np.ndarray:
        return self.work(setting) @ self.cost

    def speedup(self, setting: Setting) -> float:
        return float(self.seconds(Setting()).sum() / self.seconds(setting).sum())

    def loss(self, setting: Setting) -> float:
        points = self.reuse(setting).summary
        return float(self.harder * (0.06 * (points[2] * points[4]) + 0.02 * points[9] ** 2))

    def context(self) -> SearchContext:
        return SearchContext(
            candidates=self.candidates.settings,
            distributions=dict(self.space.distributions()),
            flat=lambda setting: dict(self.space.flat(setting)),
            work=self.work,
            reuse=self.reuse,
            neighbours=None if self.candidates.complete else self.candidates.neighbours,
        )

    def timed(self) -> list[TimedSteps]:
        whole = self.seconds(Setting()).sum()
        some = [Setting(), *self.candidates.settings[:: max(1, len(self.candidates.settings) // 5)]]
        return [
            TimedSteps(setting=setting, steps=tuple(self.seconds(setting) / whole), rest=0.0)
            for setting in some
        ]

    def sampler(self, **arguments: Any) -> FrontierSampler:
        arguments = {"limit": LIMIT, "seed": 0, "timed": self.timed()} | arguments
        return FrontierSampler(self.context(), **arguments)

    def tell(self, trial: optuna.Trial, setting: Setting) -> tuple[float, float]:
        loss = self.loss(setting) + float(self.random.normal(0, 0.001))
        trial.set_user_attr("setting", setting.params)
        trial.set_user_attr("score_loss", loss)
        trial.set_user_attr("score_loss_ci", [loss - 0.002, loss + 0.002])
        trial.set_user_attr("speedup", self.speedup(setting))
        return self.speedup(setting), loss

    def search(self, sampler: optuna.samplers.BaseSampler, trials: int) -> list[Setting]:
        study = create(sampler)
        seen: list[Setting] = []

        def objective(trial: optuna.Trial) -> tuple[float, float]:
            seen.append(self.canonical(self.space.suggest(trial)))
            return self.tell(trial, seen[-1])

        study.optimize(objective, n_trials=trials)
        return seen

    def best_of(self, settings: list[Setting]) -> float:
        return max(
            (self.speedup(setting) for setting in settings if self.loss(setting) < LIMIT),
            default=1.0,
        )


def create(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    """A study of speedup and score loss."""
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    return optuna.create_study(directions=directions, sampler=sampler)
