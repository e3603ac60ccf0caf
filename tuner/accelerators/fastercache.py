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
from tuner.plain_code import PlainCode, Use
from tuner.plans.plan import Plan

_HALVED_BY_DIFFUSERS = (  # arguments of a pass; the others are halved here
    "hidden_states",
    "encoder_hidden_states",
    "encoder_attention_mask",
    "timestep",
    "pooled_projections",
)


@dataclass(frozen=True, kw_only=True)
class FasterCache(Accelerator):
    """Skip most passes without the prompt (Lv et al., 2024, arXiv 2410.19355).

    The pass without the prompt is computed every `guidance_interval` steps. At the steps in
    between, its output is approximated by that of the pass with the prompt plus the difference
    between the two when both were last computed. Low frequencies of the difference are weighted
    more, except at the first and last steps, and high frequencies towards the end. At the same
    steps, self-attention outputs may be extrapolated from the last two, with a weight that grows
    from step to step. Longer intervals are faster and change the picture more; more warm-up steps
    preserve its layout.
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
        (2, 3, 4, 5, 6),
        low=1,
        high=1000,
        off=1,
        help="the pass without the prompt is computed once in this many steps",
    )
    attention_interval: int = knob(
        (1, 2, 3),
        low=1,
        high=1000,
        help="while the pass without the prompt is skipped, self-attention is computed once in "
        "this many steps",
    )
    warmup: int = knob(
        (1, 2, 4, 8),
        low=1,
        high=1000,
        gentler_when_higher=True,
        help="number of steps at the start that skip nothing",
    )

    def plan(self, plan: Plan) -> None:
        """Attentions are skipped only at steps that skip the pass without the prompt."""
        computed = 0  # the last step that computed its attentions
        for number, step in enumerate(plan.steps):
            step.guided = number < self.warmup or number % self.guidance_interval == 0
            if step.guided or number % self.attention_interval == 0:
                computed = number
            step.self_source = [computed] * len(plan.shape.layers)

    @classmethod
    def check(cls, pipeline: Any) -> None:
        """Flux has no second pass to skip, and diffusers' hook finds no attentions in U-Nets."""
        check_denoiser(cls.name, pipeline, ("PixArtTransformer2DModel", "SD3Transformer2DModel"))

    def check_call(self, pipeline: Any, arguments: dict[str, Any]) -> None:
        """Without guidance, half of the pictures would be treated as the pass without prompt."""
        check_guided(self.name, pipeline, arguments)

    def check_pass(self, generation: Generation) -> None:
        """Refuse a batch other than one half without and one half with the prompt.

        The batch is different after a callback ended guidance, and with `pag_scale`, which adds a
        third part.
        """
        if not generation.plain_batch or generation.resized:
            raise UnfitError(
                "fastercache needs a batch with each picture twice, without and with the prompt, "
                f"at every step, but the batch of step {generation.step} is different; leave out "
                "a callback that ends guidance, and pag_scale"
            )

    def plain_code(self, use: Use) -> PlainCode:
        """Refused: some arguments of a pass have to be halved that diffusers does not halve."""
        raise UnfitError(
            f"{self.name}: diffusers' hook does not halve all arguments of a pass that it skips"
        )

    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Hook the denoiser and its self-attentions."""
        from diffusers import FasterCacheConfig

        skipping = (self.warmup - 1, 10**9)  # steps between these two may be skipped

        def weight(first: float, last: float) -> Callable[[Any], float]:
            """The authors' weight: 1.1 between two fractions of the generation, 1 elsewhere."""
            return lambda module: 1.1 if first < generation.step / generation.steps < last else 1.0

        config = FasterCacheConfig(
            unconditional_batch_skip_range=self.guidance_interval,
            unconditional_batch_timestep_skip_range=skipping,
            spatial_attention_block_skip_range=self.attention_interval,
            spatial_attention_timestep_skip_range=skipping,
            spatial_attention_block_identifiers=(r"^transformer_blocks\.\d+\.attn1?$",),
            attention_weight_callback=lambda module: generation.step / generation.steps,
            low_frequency_weight_callback=weight(0.099, 0.901),
            high_frequency_weight_callback=weight(0.699, 1.0),
            tensor_format="BCHW",
            current_timestep_callback=lambda: generation.step,
            _unconditional_conditional_input_kwargs_identifiers=list(_HALVED_BY_DIFFUSERS),
        )
        denoiser = denoiser_of(pipeline)
        apply = partial(_apply, denoiser, config)
        return hooked(denoiser, generation, apply)


def _apply(denoiser: Any, config: Any) -> None:
    from diffusers import apply_faster_cache

    plain = denoiser.forward

    def forward(hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
        # diffusers does not halve what is in dictionaries and lists: PixArt-α's conditions, a
        # ControlNet's residuals, an IP-Adapter's images.
        rows = len(hidden_states)
        halved = Rows(slice(rows, None), 2 * rows)
        nested = {k: halved(v) for k, v in kwargs.items() if isinstance(v, dict | list | tuple)}
        return plain(hidden_states, *args, **kwargs | nested)

    denoiser.forward = forward
    # diffusers warns at each application that FasterCache is experimental. Every setting is
    # measured, so the warning is suppressed.
    logger = logging.getLogger("diffusers.hooks.faster_cache")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        apply_faster_cache(denoiser, config)
    finally:
        logger.setLevel(before)


component = FasterCache
