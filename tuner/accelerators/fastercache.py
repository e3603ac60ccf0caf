"""FasterCache, through diffusers."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from tuner.accelerators import Accelerator, Value, knob
from tuner.errors import UnfitError
from tuner.pipelines.calls import check_guided
from tuner.pipelines.controlnets import Rows
from tuner.pipelines.denoiser import check_denoiser, denoiser_of
from tuner.pipelines.generation import Call, Generation
from tuner.pipelines.hooks import hooked
from tuner.plans.plan import Plan

_HALVED = (  # by diffusers itself
    "hidden_states",
    "encoder_hidden_states",
    "encoder_attention_mask",
    "timestep",
    "pooled_projections",
)


@dataclass(frozen=True, kw_only=True)
class FasterCache(Accelerator):
    """Compute the pass without the prompt every few steps only (Lv et al., 2024, arXiv 2410.19355).

    In between, that pass is the one with the prompt plus the difference last seen, with its low
    frequencies weighted more except at the ends of the way, and its high ones towards the end.
    Meanwhile self-attention may be continued from its last two outputs, more boldly the further
    the way. Longer intervals are faster and drift further; more warm-up steps keep the layout.
    """

    name: ClassVar[str] = "fastercache"
    paper: ClassVar[str] = "arXiv 2410.19355"
    occupies: ClassVar[frozenset[str]] = frozenset({"attention outputs"})
    order: ClassVar[int] = 6
    known_good: ClassVar[tuple[dict[str, Value], ...]] = (
        {"guidance_interval": 5, "attention_interval": 2, "warmup": 8},
    )

    neutral: ClassVar[dict[str, Value]] = {
        "guidance_interval": 1,
        "attention_interval": 1,
        "warmup": 1,
    }

    guidance_interval: int = knob(
        (2, 3, 4, 5, 6), low=1, high=1000, off=1, help="interval of the pass without the prompt"
    )
    attention_interval: int = knob(
        (1, 2, 3), low=1, high=1000, help="self-attention's interval where that pass is left out"
    )
    warmup: int = knob(
        (1, 2, 4, 8),
        low=1,
        high=1000,
        gentler_when_higher=True,
        help="steps before anything is left out",
    )

    def plan(self, plan: Plan) -> None:
        """Attentions are left out only where the pass without the prompt is."""
        kept = 0
        for number, step in enumerate(plan.steps):
            step.guided = number < self.warmup or number % self.guidance_interval == 0
            if step.guided or number % self.attention_interval == 0:
                kept = number
            step.self_source = [kept] * len(plan.shape.layers)

    @classmethod
    def check(cls, pipeline: Any) -> None:
        """Of Flux's guidance there is no pass to leave out, and U-Nets' attentions stay unfound."""
        check_denoiser(cls.name, pipeline, ("PixArtTransformer2DModel", "SD3Transformer2DModel"))

    def check_call(self, pipeline: Any, arguments: dict[str, Any]) -> None:
        """Without guidance half of the pictures would be taken for the pass without the prompt."""
        check_guided(self.name, pipeline, arguments)

    def check_pass(self, generation: Generation) -> None:
        """Refuse a batch that is not half without the prompt and half with it.

        It is not once a callback has ended guidance, nor where `pag_scale` adds a third part.
        """
        if not generation.plain_batch or generation.resized:
            raise UnfitError(
                "fastercache needs the pictures without and with the prompt at every step, and "
                f"the batch of step {generation.step} is another (a callback that ends guidance "
                "changes it, and pag_scale)"
            )

    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Hook the denoiser and its self-attentions."""
        from diffusers import FasterCacheConfig

        left_out = (self.warmup - 1, 10**9)  # steps between these

        def weight(first: float, last: float) -> Callable[[Any], float]:
            """The authors' 1.1 between two shares of the way, 1 elsewhere."""
            return lambda module: 1.1 if first < generation.step / generation.steps < last else 1.0

        config = FasterCacheConfig(
            unconditional_batch_skip_range=self.guidance_interval,
            unconditional_batch_timestep_skip_range=left_out,
            spatial_attention_block_skip_range=self.attention_interval,
            spatial_attention_timestep_skip_range=left_out,
            spatial_attention_block_identifiers=(r"^transformer_blocks\.\d+\.attn1?$",),
            attention_weight_callback=lambda module: generation.step / generation.steps,
            low_frequency_weight_callback=weight(0.099, 0.901),
            high_frequency_weight_callback=weight(0.699, 1.0),
            tensor_format="BCHW",
            current_timestep_callback=lambda: generation.step,
            _unconditional_conditional_input_kwargs_identifiers=list(_HALVED),
        )
        denoiser = denoiser_of(pipeline)
        apply = partial(_apply, denoiser, config)
        return hooked(denoiser, generation, apply)


def _apply(denoiser: Any, config: Any) -> None:
    from diffusers import apply_faster_cache

    plain = denoiser.forward

    def forward(hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
        # diffusers leaves what comes in dictionaries and lists as many rows as it was: PixArt-α's
        # conditions, a ControlNet's residuals, an IP-Adapter's pictures.
        rows = len(hidden_states)
        halved = Rows(slice(rows, None), 2 * rows)
        nested = {k: halved(v) for k, v in kwargs.items() if isinstance(v, dict | list | tuple)}
        return plain(hidden_states, *args, **kwargs | nested)

    denoiser.forward = forward
    # It warns at each application that it is experimental; that is what the measurement is for.
    logger = logging.getLogger("diffusers.hooks.faster_cache")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        apply_faster_cache(denoiser, config)
    finally:
        logger.setLevel(before)


component = FasterCache
