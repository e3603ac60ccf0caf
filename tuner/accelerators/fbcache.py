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
from tuner.plans.plan import Plan


@dataclass(frozen=True, kw_only=True)
class FirstBlockCache(Accelerator):
    """Reuse a transformer's blocks while the first one changes little (ParaAttention, 2025).

    The first block always runs. Where what it adds has changed by less than `threshold` since the
    last full pass, the other blocks add what they added then. A higher threshold is faster and
    drifts further. Each row of a batch decides for itself and runs by itself, so that a picture
    does not depend on those beside it; small pictures lose some of a batch's speed by that.
    """

    name: ClassVar[str] = "fbcache"
    paper: ClassVar[str] = "arXiv 2411.19108"  # TeaCache, whose idea it simplifies
    # Which layers run depends on the row: nothing else may keep or draw anything along the way.
    occupies: ClassVar[frozenset[str]] = frozenset({"block outputs", "attention outputs", "tokens"})
    order: ClassVar[int] = 4
    known_good: ClassVar[tuple[dict[str, Value], ...]] = ({"threshold": 0.1}, {"threshold": 0.2})

    neutral: ClassVar[dict[str, Value]] = {"threshold": 0.0}

    threshold: float = knob(
        (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4),
        low=0.0,
        high=10.0,
        off=0.0,
        help="relative change of the first block's residual under which the others are reused",
    )

    def plan(self, plan: Plan) -> None:
        """Which steps are full depends on the picture; settings are told apart by the knob."""
        if self.threshold > 0:
            plan.data_dependent[self.name] = (self.threshold,)

    @classmethod
    def check(cls, pipeline: Any) -> None:
        """It needs a row of like blocks."""
        kinds = ("PixArtTransformer2DModel", "FluxTransformer2DModel", "SD3Transformer2DModel")
        check_denoiser(cls.name, pipeline, kinds)

    def check_pass(self, generation: Generation) -> None:
        """Rows that look at one another, as PAG's do, cannot run by themselves."""
        if self.threshold > 0 and not generation.plain_batch:
            raise UnfitError(
                "fbcache runs each row by itself, and this call's batch has other rows than one "
                "for each picture, or two with guidance (pag_scale adds some)"
            )

    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Hook every block. At a threshold of 0 there is nothing to decide."""
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
        last.forward = _with_the_prompt(last.forward)
    apply_first_block_cache(denoiser, FirstBlockCacheConfig(threshold=threshold))


def _with_the_prompt(forward: Callable[..., Any]) -> Callable[..., Any]:
    """SD3's last block drops the prompt's tokens, whose change diffusers wants to take down."""

    def wrapped(hidden_states: Any, encoder_hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
        _, found = forward(hidden_states, encoder_hidden_states, *args, **kwargs)
        return encoder_hidden_states, found

    return wrapped


component = FirstBlockCache
