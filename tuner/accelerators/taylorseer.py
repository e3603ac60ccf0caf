"""TaylorSeer, through diffusers."""

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

# Pattern of their names; diffusers looks for those that end in "attn", and U-Nets have none.
ATTENTIONS = r"(.*\.)?(single_)?transformer_blocks\.\d+\.attn[12]?"


@dataclass(frozen=True, kw_only=True)
class TaylorSeer(Accelerator):
    """Extrapolate attention outputs (Liu et al., 2025, arXiv 2503.06923).

    Between two computed steps the output of every attention is extrapolated by a Taylor series of
    order `max_order`; order 0 is plain reuse. A longer interval is faster and changes the picture
    more; more warm-up steps preserve its layout; a higher order needs more memory.
    """

    name: ClassVar[str] = "taylorseer"
    paper: ClassVar[str] = "arXiv 2503.06923"
    occupies: ClassVar[frozenset[str]] = frozenset({"attention outputs"})
    order: ClassVar[int] = 5
    known_good: ClassVar[tuple[dict[str, Value], ...]] = (
        {"cache_interval": 5, "warmup": 3, "max_order": 1},
    )

    neutral: ClassVar[dict[str, Value]] = {"cache_interval": 1, "warmup": 1, "max_order": 0}

    cache_interval: int = knob(
        (2, 3, 4, 5, 6),
        low=1,
        high=1000,
        off=1,
        help="attention is computed once in this many steps",
    )
    warmup: int = knob(
        (1, 2, 3, 5),
        low=1,
        high=1000,
        gentler_when_higher=True,
        help="number of steps at the start that extrapolate nothing",
    )
    max_order: int = knob(
        (0, 1, 2),
        low=0,
        high=4,
        gentler_when_higher=True,
        help="order of the Taylor series: its highest derivative",
    )

    def plan(self, plan: Plan) -> None:
        """A layer counts its own runs. The order that it can use is limited by computed runs."""
        for index in range(len(plan.shape.layers)):
            runs, computed = 0, 0  # all runs of the layer, and those that were computed
            last = 0  # the last step that was computed
            for number, step in enumerate(plan.steps):
                if step.self_source[index] is None:
                    continue
                if number in plan.full_steps:
                    runs = computed = 0
                if runs < self.warmup or (runs - self.warmup - 1) % self.cache_interval == 0:
                    last = number
                    computed += 1
                else:
                    order = min(self.max_order, computed - 1)
                    plan.data_dependent[self.name] = max(
                        plan.data_dependent.get(self.name, ()), (order,)
                    )
                step.self_source[index] = last
                if step.cross_source[index] is not None:
                    step.cross_source[index] = last
                runs += 1

    @classmethod
    def check(cls, pipeline: Any) -> None:
        """It needs blocks whose attentions are named attn, or attn1 and attn2."""
        kinds = (
            "UNet2DConditionModel",
            "PixArtTransformer2DModel",
            "FluxTransformer2DModel",
            "SD3Transformer2DModel",
        )
        check_denoiser(cls.name, pipeline, kinds)

    def plain_code(self, use: Use) -> PlainCode:
        """Diffusers' hook, with the names of the attentions in each kind of denoiser."""
        return PlainCode.of_hook(
            use,
            "apply_taylorseer_cache",
            "TaylorSeerCacheConfig",
            cache_interval=self.cache_interval,
            disable_cache_before_step=self.warmup,
            max_order=self.max_order,
            taylor_factors_dtype=Source(f"torch.{use.dtype}"),
            cache_identifiers=Source(f'[r"{ATTENTIONS}"]'),
        )

    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Hook every attention."""
        from diffusers import TaylorSeerCacheConfig, apply_taylorseer_cache

        denoiser = denoiser_of(pipeline)
        config = TaylorSeerCacheConfig(
            cache_interval=self.cache_interval,
            disable_cache_before_step=self.warmup,
            max_order=self.max_order,
            taylor_factors_dtype=denoiser.dtype,
            cache_identifiers=[ATTENTIONS],
        )
        apply = partial(apply_taylorseer_cache, denoiser, config)
        return hooked(denoiser, generation, apply)


component = TaylorSeer
