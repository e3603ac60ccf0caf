"""First Block Cache, through diffusers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from tuner.accelerators import Accelerator, Value, knob
from tuner.errors import UnfitError
from tuner.pipelines.denoiser import check_denoiser, denoiser_of
from tuner.pipelines.generation import Call, Generation
from tuner.pipelines.hooks import hooked
from tuner.plain_code import PlainCode, Use
from tuner.plans.plan import Plan


@dataclass(frozen=True, kw_only=True)
class FirstBlockCache(Accelerator):
    """Reuse a transformer's blocks while the first one changes little (ParaAttention, 2025).

    The first block always runs. If its residual has changed by less than `threshold` (relatively)
    since the last full pass, the residual of the other blocks is reused from that pass. A higher
    threshold is faster and changes the picture more. Each row of a batch is decided and computed
    separately, so that a picture does not depend on the others of its batch. For small pictures
    this loses some of the speed of a batch.
    """

    name: ClassVar[str] = "fbcache"
    paper: ClassVar[str] = "arXiv 2411.19108"  # TeaCache, whose idea it simplifies
    # Which layers run depends on the row, so no other accelerator may store anything per layer or
    # draw random numbers in them.
    occupies: ClassVar[frozenset[str]] = frozenset({"block outputs", "attention outputs", "tokens"})
    order: ClassVar[int] = 4
    known_good: ClassVar[tuple[dict[str, Value], ...]] = ({"threshold": 0.1}, {"threshold": 0.2})

    neutral: ClassVar[dict[str, Value]] = {"threshold": 0.0}

    threshold: float = knob(
        (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4),
        low=0.0,
        high=10.0,
        off=0.0,
        help="the other blocks are reused while the first block's residual changes by less than "
        "this share",
    )

    def plan(self, plan: Plan) -> None:
        """Which steps are full depends on the picture, so the plan can only name the threshold."""
        if self.threshold > 0:
            plan.data_dependent[self.name] = (self.threshold,)

    @classmethod
    def check(cls, pipeline: Any) -> None:
        """It needs a sequence of blocks of the same kind."""
        kinds = ("PixArtTransformer2DModel", "FluxTransformer2DModel", "SD3Transformer2DModel")
        check_denoiser(cls.name, pipeline, kinds)

    def check_pass(self, generation: Generation) -> None:
        """Refuse a batch whose rows depend on one another, such as PAG's."""
        if self.threshold > 0 and not generation.plain_batch:
            raise UnfitError(
                "fbcache runs each row by itself, which needs a batch with one row for each "
                "picture, or two with guidance; this call's batch has another "
                "number of rows; leave out pag_scale"
            )

    def plain_code(self, use: Use) -> PlainCode:
        """Diffusers' hook, which decides for a whole batch: the same for a batch of one row."""
        if use.pipeline != "FluxPipeline" or use.batch > 1:
            raise UnfitError(
                f"{self.name}: diffusers decides for a whole batch, and not for each picture"
            )
        return PlainCode.of_hook(
            use, "apply_first_block_cache", "FirstBlockCacheConfig", threshold=self.threshold
        )

    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Hook every block. At a threshold of 0 nothing is ever reused, and nothing is hooked."""
        if self.threshold == 0:
            return lambda: None
        denoiser = denoiser_of(pipeline)
        apply = partial(_apply, denoiser, self.threshold)
        return hooked(
            denoiser, generation, apply, by_row=True, skips_blocks="fbc_leader_block_hook"
        )


def _apply(denoiser: Any, threshold: float) -> None:
    from diffusers import FirstBlockCacheConfig, apply_first_block_cache

    last = denoiser.transformer_blocks[-1]
    if getattr(last, "context_pre_only", False):
        last.forward = _returning_the_prompt(last.forward)
    apply_first_block_cache(denoiser, FirstBlockCacheConfig(threshold=threshold))


def _returning_the_prompt(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return the prompt's tokens, which SD3's last block drops and diffusers' hook needs."""

    def wrapped(hidden_states: Any, encoder_hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
        _, output = forward(hidden_states, encoder_hidden_states, *args, **kwargs)
        return encoder_hidden_states, output

    return wrapped


component = FirstBlockCache
