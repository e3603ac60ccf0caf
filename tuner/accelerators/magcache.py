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
from tuner.plain_code import PlainCode, Source, Use
from tuner.plans.plan import Plan


@dataclass(frozen=True, kw_only=True)
class MagCache(Accelerator):
    """Skip steps while the residual is known to change little (Ma et al., 2025, arXiv 2506.09045).

    How the magnitude of the residual changes from step to step was measured beforehand (for Flux,
    by the authors). A step reuses the last residual while the accumulated change is below
    `threshold`. More skipped steps in a row and a higher threshold are faster and change the
    picture more. The first steps, a share of `retention`, are always computed, which preserves the
    layout.
    """

    name: ClassVar[str] = "magcache"
    paper: ClassVar[str] = "arXiv 2506.09045"
    occupies: ClassVar[frozenset[str]] = frozenset({"block outputs"})
    order: ClassVar[int] = 0  # first, because other plans depend on which layers run
    known_good: ClassVar[tuple[dict[str, Value], ...]] = (
        {"max_skip_steps": 3, "threshold": 0.06, "retention": 0.2},
    )

    # A threshold of 0 alone is not neutral: steps with a measured ratio of exactly 1 are skipped.
    neutral: ClassVar[dict[str, Value]] = {"max_skip_steps": 0, "threshold": 0.0, "retention": 1.0}

    max_skip_steps: int = knob(
        (1, 2, 3, 4, 5),
        low=0,
        high=1000,
        off=0,
        help="maximum number of steps that are skipped in a row",
    )
    threshold: float = knob(
        (0.03, 0.06, 0.09, 0.12, 0.15, 0.18, 0.21, 0.24),
        low=0.0,
        high=10.0,
        help="a step is skipped while the accumulated change of the residual's magnitude is below "
        "this",
    )
    retention: float = knob(
        (0.1, 0.2, 0.3),
        low=0.0,
        high=1.0,
        gentler_when_higher=True,
        help="share of the steps, at the start, that are always computed",
    )

    def plan(self, plan: Plan) -> None:
        """Follow diffusers' rule, which depends on the step's number and not on the picture."""
        config = self._config(len(plan.steps))
        first = self._retained(len(plan.steps))
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
        """Magnitudes have been published for Flux alone."""
        check_denoiser(cls.name, pipeline, ("FluxTransformer2DModel",))

    def check_call(self, pipeline: Any, arguments: dict[str, Any]) -> None:
        """The magnitudes are interpolated to a number of steps, for the usual sigmas."""
        if arguments.get("sigmas") is not None:
            raise UnfitError(
                "magcache is made for the default sigmas; give num_inference_steps, not sigmas"
            )

    def plain_code(self, use: Use) -> PlainCode:
        """Diffusers' hook, with the magnitudes that were measured for Flux."""
        code = PlainCode.of_hook(
            use,
            "apply_mag_cache",
            "MagCacheConfig",
            threshold=self.threshold,
            max_skip_steps=self.max_skip_steps,
            retention_ratio=self.retention,
            num_inference_steps=use.steps,
            mag_ratios=Source("FLUX_MAG_RATIOS"),
        )
        return code.importing("from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS")

    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Hook every block."""
        from diffusers import apply_mag_cache

        denoiser = denoiser_of(pipeline)
        config = self._config(1)

        def begin() -> None:
            """Configure the hooks, which count from this step on, for the remaining steps."""
            ratios = self._config(len(pipeline.scheduler.timesteps)).mag_ratios
            retained = self._retained(generation.steps) - generation.step
            remaining = generation.steps - generation.step
            config.num_inference_steps = remaining
            config.mag_ratios = ratios[generation.first + generation.step :][:remaining]
            config.retention_ratio = max(retained, 0) / remaining

        apply = partial(apply_mag_cache, denoiser, config)
        leader = "mag_cache_leader_block_hook"
        return hooked(denoiser, generation, apply, skips_blocks=leader, begin=begin)

    def _retained(self, steps: int) -> int:
        """How many of the first steps are always computed."""
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
