"""T-GATE, through the package tgate."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from tuner.accelerators import Accelerator, Call, Generation, Value, knob
from tuner.accelerators._denoiser import denoiser_of
from tuner.accelerators._plan import Plan
from tuner.errors import UnfitError


@dataclass(frozen=True, kw_only=True)
class TGate(Accelerator):
    """Keep attention outputs over steps, and drop guidance after a gate.

    (Zhang, Liu et al., 2024, arXiv 2404.02747.) Before the gate
    step, self-attention is computed every `sp_interval` steps once `warmup` steps are done; from
    the gate on, cross-attention is a stored average, the batch is halved because there is no
    classifier-free guidance any more, and self-attention is computed every `fi_interval` steps.
    An earlier gate and longer intervals are faster and follow the prompt less.
    """

    name: ClassVar[str] = "tgate"
    paper: ClassVar[str] = "arXiv 2404.02747"
    occupies: ClassVar[frozenset[str]] = frozenset({"attention outputs", "denoising loop"})
    order: ClassVar[int] = 2
    known_good: ClassVar[tuple[dict[str, Value], ...]] = (
        {"gate_step": 10, "sp_interval": 5, "fi_interval": 1, "warmup": 2},
        {"gate_step": 15, "sp_interval": 2, "fi_interval": 1, "warmup": 3},
    )

    neutral: ClassVar[dict[str, Value]] = {
        "gate_step": 1000,
        "sp_interval": 1,
        "fi_interval": 1,
        "warmup": 0,
    }

    gate_step: int = knob(
        tuple(range(5, 20)), low=1, high=1000, off=20, help="the first step without guidance"
    )
    sp_interval: int = knob(
        tuple(range(2, 10)), low=1, high=1000, help="self-attention's interval before the gate"
    )
    fi_interval: int = knob(
        tuple(range(1, 6)), low=1, high=1000, help="self-attention's interval after the gate"
    )
    warmup: int = knob((1, 2, 3), low=0, high=1000, help="steps before self-attention is reused")

    def plan(self, plan: Plan) -> None:
        """Follow the package's `tgate_scheduler`, for each layer at the steps at which it runs."""
        for number, step in enumerate(plan.steps):
            step.guided = number < self.gate_step
        known: dict[tuple[bool, ...], list[tuple[int, int] | None]] = {}
        for index in range(len(plan.shape.layers)):
            live = tuple(step.self_source[index] is not None for step in plan.steps)
            if live not in known:
                known[live] = self._sources(live)
            for step, sources in zip(plan.steps, known[live], strict=True):
                if sources is not None:
                    step.self_source[index], step.cross_source[index] = sources

    def _sources(self, live: tuple[bool, ...]) -> list[tuple[int, int] | None]:
        """By step: where a layer's self- and cross-attention come from; None where it is off."""
        found: list[tuple[int, int] | None] = []
        kept_self: int | None = None
        kept_cross = self.gate_step - 1  # a full step, at which every layer runs
        for number, runs in enumerate(live):
            if not runs:
                found.append(None)
                continue
            if number < self.gate_step - 1:
                fresh = number <= self.warmup or number % self.sp_interval == 0
                keep = number >= self.warmup
            elif number == self.gate_step - 1:
                fresh = keep = True
            else:
                fresh = keep = number % self.fi_interval == 0
            own_self = number if fresh or kept_self is None else kept_self
            found.append((own_self, kept_cross if number >= self.gate_step else number))
            if fresh and keep:
                kept_self = number
        return found

    @classmethod
    def check(cls, pipeline: Any) -> None:
        """T-GATE brings its own denoising loop for each pipeline class that it knows."""
        _loader(pipeline)
        for part in ("image_encoder", "controlnet"):
            if getattr(pipeline, part, None) is not None:
                raise UnfitError(f"tgate bypasses attention processors: it cannot use {part}")
        for name, processor in denoiser_of(pipeline).attn_processors.items():
            if type(processor).__name__ not in ("AttnProcessor", "AttnProcessor2_0"):
                raise UnfitError(
                    f"tgate bypasses attention processors: {type(processor).__name__} at {name} "
                    "would not run; call set_default_attn_processor() on it first"
                )

    def check_call(self, arguments: dict[str, Any]) -> None:
        """Without guidance there is no batch to halve at the gate."""
        guidance = arguments.get("guidance_scale")
        if guidance is not None and guidance <= 1:
            raise UnfitError(f"tgate needs guidance_scale above 1, not {guidance}")

    def full_steps(self) -> frozenset[int]:
        """The step that fills the stored attentions, and the first one with half the batch."""
        return frozenset({self.gate_step - 1, self.gate_step})

    @contextmanager
    def applied(
        self, pipeline: Any, generation: Generation, call: Call
    ) -> Iterator[Callable[[], None]]:
        """Generate with the package's loop; every attention is itself again on exit."""
        _loader(pipeline)(pipeline)
        call.function = pipeline.tgate
        call.extra = {
            "gate_step": self.gate_step,
            "sp_interval": self.sp_interval,
            "fi_interval": self.fi_interval,
            "warm_up": self.warmup,
        }

        def forget() -> None:
            for module in denoiser_of(pipeline).modules():
                if type(module).__name__ == "Attention":
                    module.__dict__.pop("forward", None)
                    module.__dict__.pop("cache", None)

        try:
            yield forget
        finally:
            forget()
            del pipeline.tgate


def _loader(pipeline: Any) -> Callable[[Any], Any]:
    import tgate

    loaders = {
        "StableDiffusionPipeline": tgate.TgateSDLoader,
        "StableDiffusionXLPipeline": tgate.TgateSDXLLoader,
        "PixArtAlphaPipeline": tgate.TgatePixArtAlphaLoader,
        "PixArtSigmaPipeline": tgate.TgatePixArtSigmaLoader,
    }
    try:
        loader: Callable[[Any], Any] = loaders[type(pipeline).__name__]
    except KeyError:
        raise UnfitError(
            f"tgate has no loop for {type(pipeline).__name__}; it has one for {', '.join(loaders)}"
        ) from None
    return loader


component = TGate
