"""Made-up figures of every setting of a study's default space, for studies of very many trials.

The truth tables have up to 1,512 settings; the default space of DeepCache, ToMe and T-GATE has more
than a million. The speedup follows from the work of the steps, the score loss is a smooth function
of what is reused, with the scatter of a mean over prompts. Nothing here imports torch.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from typing import Any

import numpy as np

from tuner.measure.measurement import Measurement
from tuner.measure.statistics import Estimate
from tuner.plans.plan import Shape
from tuner.search.frontier.speed_model import TimedSteps
from tuner.search.goal import Goal
from tuner.search.problem import Problem
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.spec import StudySpec

STEPS = 20
PROMPTS, BATCH = 32, 4  # of a trial
REST = 0.05  # of the baseline's latency: encoding and decoding
PROMPT_SCATTER = 0.05  # standard deviation of one prompt's loss
SCATTER = 0.01  # of the ratio of one pair of batches


def shape_of_miniature() -> Shape:
    """The shape of the miniature, from a process of its own, which imports torch."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_shape).result()


def _shape() -> Shape:
    from bench.lib.miniature import MODEL, pipeline, quiet
    from tuner.plans.plan import shape_of

    quiet()
    return shape_of(pipeline("DDIM"), MODEL.resolution)


@dataclass(frozen=True)
class Landscape:
    """The figures of every setting of the default space at 20 steps."""

    shape: Shape

    @cached_property
    def problem(self) -> Problem:
        """What a sampler knows of the study."""
        spec = StudySpec(pipe="miniature", sched="DDIM", steps=STEPS)
        return Problem(
            space=Space.of(spec),
            shape=self.shape,
            steps=STEPS,
            limits=Goal.of(spec).limits,
            timed=lambda settings: [self.timed(setting) for setting in (Setting(), *settings)],
            num_samples=PROMPTS,
            max_samples=2 * PROMPTS,
        )

    def timed(self, setting: Setting) -> TimedSteps:
        """The times of steps: proportional to their work, as shares of the baseline's work."""
        whole = self.problem.work(Setting()).sum()
        steps = self.problem.work(setting).sum(axis=1) / whole
        return TimedSteps(setting=setting, steps=tuple(steps), rest=REST)

    def speedup(self, setting: Setting) -> float:
        """The true speedup."""
        whole = self.problem.work(Setting()).sum()
        return float((1 + REST) / (self.problem.work(setting).sum() / whole + REST))

    def loss(self, setting: Setting) -> float:
        """The true score loss: of the limit, 2%, where half of the most is reused."""
        return 0.004 * float(self.problem.reuse(setting).summary.sum()) ** 2

    def measure(self, setting: Setting, rng: np.random.Generator) -> Iterator[Measurement]:
        """The measurement of a setting after each batch of prompts."""
        speedup, loss = self.speedup(setting), self.loss(setting)
        losses = rng.normal(loss, PROMPT_SCATTER, PROMPTS)
        ratio = speedup * float(np.exp(rng.normal(0, SCATTER)))
        for count in range(BATCH, PROMPTS + 1, BATCH):
            mean, half = losses[:count].mean(), 2 * PROMPT_SCATTER / count**0.5
            yield Measurement(
                prompts=count,
                speedup=Estimate(value=ratio, low=ratio * 0.98, high=ratio * 1.02),
                score_loss=Estimate(value=mean, low=mean - half, high=mean + half),
                score=30 * (1 - mean),
                baseline_s=1.0,
                scores=(30 * (1 - losses[:count])).tolist(),
                numbers=list(range(count)),
                ratios=[ratio],
                predicted=speedup,
                latency_key="made up",
                same_pictures=False,
            )

    def __getstate__(self) -> dict[str, Any]:
        """Without the problem, whose functions cannot be sent to another process."""
        return {"shape": self.shape}
