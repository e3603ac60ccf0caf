"""T-GATE, through the package tgate."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, ClassVar

from tuner.accelerators import Accelerator, Value, knob
from tuner.errors import UnfitError
from tuner.pipelines.calls import check_guided
from tuner.pipelines.denoiser import denoiser_of
from tuner.pipelines.generation import Call, Generation
from tuner.plans.plan import Plan


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
        tuple(range(5, 20)),
        low=1,
        high=1000,
        off=20,
        gentler_when_higher=True,
        help="the first step without guidance",
    )
    sp_interval: int = knob(
        tuple(range(2, 10)), low=1, high=1000, help="self-attention's interval before the gate"
    )
    fi_interval: int = knob(
        tuple(range(1, 6)), low=1, high=1000, help="self-attention's interval after the gate"
    )
    warmup: int = knob(
        (1, 2, 3),
        low=0,
        high=1000,
        gentler_when_higher=True,
        help="steps before self-attention is reused",
    )

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

    def check_call(self, pipeline: Any, arguments: dict[str, Any]) -> None:
        """Without guidance there is no batch to halve at the gate."""
        check_guided(self.name, pipeline, arguments)

    def check_pass(self, generation: Generation) -> None:
        """A batch that is halved before the gate leaves nothing to average there."""
        if generation.resized and generation.step < self.gate_step <= generation.steps:
            raise UnfitError(
                f"tgate ends guidance at step {self.gate_step} itself, and this call's batch "
                f"changes at step {generation.step} (a callback that ends guidance does so); "
                "leave the callback out"
            )

    def full_steps(self) -> frozenset[int]:
        """The step that fills the stored attentions, and the first one with half the batch."""
        return frozenset({self.gate_step - 1, self.gate_step})

    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Generate with the package's loop."""
        attentions = _Attentions()
        _loader(pipeline)(pipeline)
        loop = pipeline.__dict__.pop("tgate").__func__
        call.function = _with_callbacks(_where(loop, register_forward=attentions.ask))
        call.extra = {
            "gate_step": self.gate_step,
            "sp_interval": self.sp_interval,
            "fi_interval": self.fi_interval,
            "warm_up": self.warmup,
        }

        def drop(module: Any, args: Any) -> None:
            if generation.resized and generation.step < self.gate_step:
                attentions.drop()

        denoiser = denoiser_of(pipeline)
        denoiser.register_forward_pre_hook(drop)
        attentions.wrap(denoiser)
        return attentions.forget


class _Attentions:
    """Keeps the outputs of a denoiser's attentions, as the step at work asks for it.

    The package gives every attention a new function at each step, which looks up a signature at
    each call and leaves the attention's processor out. Here they are wrapped once: the same
    arithmetic, by the processors that are there, with less of the host's time between kernels.
    """

    def __init__(self) -> None:
        self._kept: dict[Any, Any] = {}
        self.forget()

    def forget(self) -> None:
        """Let go of what an earlier generation left."""
        self.drop()
        self._self = self._cross = {"cache": False, "reuse": False}
        self._whole = True

    def drop(self) -> None:
        """Let go of the stored outputs, which fit another batch."""
        self._kept.clear()

    def ask(
        self,
        model: Any,
        filter_name: str,
        keep_shape: bool,
        sa_kward: dict[str, bool],
        ca_kward: dict[str, bool],
    ) -> None:
        """In the place of the package's `register_forward`: what to keep and reuse from now on."""
        self._self, self._cross, self._whole = sa_kward, ca_kward, keep_shape

    def wrap(self, denoiser: Any) -> None:
        """Keep the outputs of all its attentions from now on."""
        for one in denoiser.modules():
            if type(one).__name__ == "Attention":
                one.forward = self._wrapped(one)

    def _wrapped(self, attention: Any) -> Callable[..., Any]:
        compute = attention.forward

        def forward(
            hidden_states: Any, encoder_hidden_states: Any = None, *args: Any, **kwargs: Any
        ) -> Any:
            asked = self._self if encoder_hidden_states is None else self._cross
            if asked["reuse"] and attention in self._kept:
                return self._kept[attention]
            output = compute(hidden_states, encoder_hidden_states, *args, **kwargs)
            if asked["cache"]:
                kept = output
                if not self._whole:
                    without, prompted = output.chunk(2)
                    kept = (without + prompted) / 2
                self._kept[attention] = kept
            return output

        return forward


def _with_callbacks(loop: Callable[..., Any]) -> Callable[..., Any]:
    """The loop, where callbacks that change tensors do what they do in the pipeline's own loop.

    The package's loop takes the latents back, and of the others not the ones that it goes on with.
    """
    signature = inspect.signature(loop)

    def function(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        callback = given.arguments.get("callback_on_step_end")
        if callback is not None:
            given.arguments["callback_on_step_end"] = _answers(callback)
            if hasattr(callback, "tensor_inputs"):
                given.arguments["callback_on_step_end_tensor_inputs"] = callback.tensor_inputs
        return loop(*given.args, **given.kwargs)

    return function


def _answers(callback: Callable[..., Any]) -> Callable[..., Any]:
    def answer(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> Any:
        before = dict(tensors)
        found = dict(callback(pipeline, step, timestep, tensors))
        # The pipeline's own loop does not use the negative prompt by itself, and this one does.
        found.pop("negative_prompt_embeds", None)
        changed = [k for k, v in found.items() if k != "latents" and v is not before.get(k)]
        if changed == ["prompt_embeds"] and not pipeline.do_classifier_free_guidance:
            # Without guidance this loop goes on with what it calls the negative prompt.
            return found | {"negative_prompt_embeds": found["prompt_embeds"]}
        if changed:
            raise UnfitError(
                f"tgate's denoising loop takes no other {' and '.join(changed)} in mid-call, and "
                f"the callback changes it at step {step}; leave the callback out"
            )
        return found

    return answer


def _where(function: Any, **names: Any) -> Any:
    """The function with other meanings for some of its module's names; the module stays."""
    import torch

    plain = inspect.unwrap(function)
    made = FunctionType(
        plain.__code__,
        plain.__globals__ | names,
        plain.__name__,
        plain.__defaults__,
        plain.__closure__,
    )
    made.__kwdefaults__ = plain.__kwdefaults__
    return torch.no_grad()(made)


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
