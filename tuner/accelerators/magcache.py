"""MagCache, through diffusers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from tuner.accelerators import Accelerator, Value, knob
from tuner.errors import UnfitError
from tuner.pipelines.denoiser import check_denoiser, denoiser_of
from tuner.pipelines.generation import Call, Generation
from tuner.pipelines.hooks import hooked
from tuner.plans.plan import Plan


@dataclass(frozen=True, kw_only=True)
class MagCache(Accelerator):
    """Skip steps by how much a model's residual usually grows (Ma et al., 2025, arXiv 2506.09045).

    A step reuses the last residual while the growth that was measured beforehand, of Flux by the
    authors, adds up to less than `threshold`. More skipped steps in a row and a higher threshold
    are faster and drift further; the `retention` share of the first steps keeps the layout.
    """

    name: ClassVar[str] = "magcache"
    paper: ClassVar[str] = "arXiv 2506.09045"
    occupies: ClassVar[frozenset[str]] = frozenset({"block outputs"})
    order: ClassVar[int] = 0  # first: other plans ask which layers run
    known_good: ClassVar[tuple[dict[str, Value], ...]] = (
        {"max_skip_steps": 3, "threshold": 0.06, "retention": 0.2},
    )

    # Not a threshold of 0: a measured growth of exactly 1 is under it.
    neutral: ClassVar[dict[str, Value]] = {"max_skip_steps": 0, "threshold": 0.0, "retention": 1.0}

    max_skip_steps: int = knob(
        (1, 2, 3, 4, 5), low=0, high=1000, off=0, help="most steps in a row that are skipped"
    )
    threshold: float = knob(
        (0.03, 0.06, 0.09, 0.12, 0.15, 0.18, 0.21, 0.24),
        low=0.0,
        high=10.0,
        help="accumulated growth under which a step is skipped",
    )
    retention: float = knob(
        (0.1, 0.2, 0.3),
        low=0.0,
        high=1.0,
        gentler_when_higher=True,
        help="share of the first steps that are computed",
    )

    def plan(self, plan: Plan) -> None:
        """Follow the package's rule; it sees the number of the step and nothing of the picture."""
        config = self._config(len(plan.steps))
        first = self._kept(len(plan.steps))
        ratio, error, skipped = 1.0, 0.0, 0
        for number, step in enumerate(plan.steps):
            if number < first:
                continue
            ratio = ratio * config.mag_ratios[number]
            error += abs(1.0 - ratio)
            skipped += 1
            if number and error <= self.threshold and skipped <= self.max_skip_steps:
                step.self_source = [None] * len(plan.shape.layers)
                step.cross_source = [None] * len(plan.shape.layers)
            else:
                ratio, error, skipped = 1.0, 0.0, 0

    @classmethod
    def check(cls, pipeline: Any) -> None:
        """The growth was measured for Flux; for SD3 nobody has published one."""
        check_denoiser(cls.name, pipeline, ("FluxTransformer2DModel",))

    def check_call(self, pipeline: Any, arguments: dict[str, Any]) -> None:
        """The growth is known by the number of steps, for their usual places."""
        if arguments.get("sigmas") is not None:
            raise UnfitError("magcache needs num_inference_steps; it does not know other sigmas")

    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Hook every block."""
        from diffusers import apply_mag_cache

        denoiser = denoiser_of(pipeline)
        config = self._config(1)

        def begin() -> None:
            """Give the hooks, which count from here on, the growth of the steps that are left."""
            usual = self._config(len(pipeline.scheduler.timesteps)).mag_ratios
            kept = self._kept(generation.steps) - generation.step
            left = generation.steps - generation.step
            config.num_inference_steps = left
            config.mag_ratios = usual[generation.first + generation.step :][:left]
            config.retention_ratio = max(kept, 0) / left

        apply = partial(apply_mag_cache, denoiser, config)
        leader = "mag_cache_leader_block_hook"
        return hooked(denoiser, generation, apply, skips_blocks=leader, begin=begin)

    def _kept(self, steps: int) -> int:
        """How many of the first steps are computed."""
        return int(self.retention * steps + 0.5)

    def _config(self, steps: int) -> Any:
        from diffusers import MagCacheConfig
        from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS

        return MagCacheConfig(
            threshold=self.threshold,
            max_skip_steps=self.max_skip_steps,
            retention_ratio=self.retention,
            num_inference_steps=steps,
            mag_ratios=FLUX_MAG_RATIOS,
        )


component = MagCache
