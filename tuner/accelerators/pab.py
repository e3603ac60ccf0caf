"""Pyramid Attention Broadcast, through diffusers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from tuner.accelerators import Accelerator, Value, knob
from tuner.pipelines.denoiser import check_denoiser, denoiser_of
from tuner.pipelines.generation import Call, Generation
from tuner.pipelines.hooks import hooked
from tuner.plain_code import PlainCode, Source, Use
from tuner.plans.plan import Plan


@dataclass(frozen=True, kw_only=True)
class PyramidAttentionBroadcast(Accelerator):
    """Reuse attention outputs for several steps (Zhao et al., 2024, arXiv 2408.12588).

    Cross-attention changes least from step to step and tolerates the longer interval. Longer
    intervals are faster and change the picture more; more warm-up steps preserve its layout.
    """

    name: ClassVar[str] = "pab"
    paper: ClassVar[str] = "arXiv 2408.12588"
    occupies: ClassVar[frozenset[str]] = frozenset({"attention outputs"})
    order: ClassVar[int] = 3
    known_good: ClassVar[tuple[dict[str, Value], ...]] = (
        {"cross_interval": 4, "self_interval": 2, "warmup": 4},
    )

    neutral: ClassVar[dict[str, Value]] = {"cross_interval": 1, "self_interval": 1, "warmup": 0}

    cross_interval: int = knob(
        (2, 3, 4, 5, 6),
        low=1,
        high=1000,
        off=1,
        help="cross-attention is computed once in this many steps",
    )
    self_interval: int = knob(
        (1, 2, 3, 4), low=1, high=1000, help="self-attention is computed once in this many steps"
    )
    warmup: int = knob(
        (1, 2, 4, 8),
        low=0,
        high=1000,
        gentler_when_higher=True,
        help="number of steps at the start that reuse nothing",
    )

    def plan(self, plan: Plan) -> None:
        """A layer counts its own runs and computes if the interval divides their number."""
        for index in range(len(plan.shape.layers)):
            runs, last_self, last_cross = 0, 0, 0  # the last steps that computed its attentions
            for number, step in enumerate(plan.steps):
                if step.self_source[index] is None:
                    continue
                if number in plan.full_steps:
                    runs = 0
                fresh = runs == 0 or number < self.warmup
                if fresh or runs % self.self_interval == 0:
                    last_self = number
                if fresh or runs % self.cross_interval == 0:
                    last_cross = number
                step.self_source[index], step.cross_source[index] = last_self, last_cross
                runs += 1

    @classmethod
    def check(cls, pipeline: Any) -> None:
        """It needs blocks of self-attention and cross-attention."""
        check_denoiser(cls.name, pipeline, ("UNet2DConditionModel", "PixArtTransformer2DModel"))

    def plain_code(self, use: Use) -> PlainCode:
        """Diffusers' hook, which is told the number of the step in the place of its timestep."""
        reusing = Source(f"({self.warmup - 1}, 10**9)")
        return PlainCode.of_hook(
            use,
            "apply_pyramid_attention_broadcast",
            "PyramidAttentionBroadcastConfig",
            in_context=False,
            spatial_attention_block_skip_range=self.self_interval,
            spatial_attention_timestep_skip_range=reusing,
            cross_attention_block_skip_range=self.cross_interval,
            cross_attention_timestep_skip_range=reusing,
            current_timestep_callback=Source("lambda: len(passes) - 1"),
        ).counting_passes(use)

    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Hook every attention."""
        from diffusers import PyramidAttentionBroadcastConfig, apply_pyramid_attention_broadcast

        reusing = (self.warmup - 1, 10**9)  # steps between these two may reuse attentions
        config = PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=self.self_interval,
            spatial_attention_timestep_skip_range=reusing,
            cross_attention_block_skip_range=self.cross_interval,
            cross_attention_timestep_skip_range=reusing,
            current_timestep_callback=lambda: generation.step,
        )
        denoiser = denoiser_of(pipeline)
        apply = partial(apply_pyramid_attention_broadcast, denoiser, config)
        return hooked(denoiser, generation, apply)


component = PyramidAttentionBroadcast
