"""T-GATE, through the package tgate."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, ClassVar

from tuner.accelerators import Accelerator, Value, knob
from tuner.accelerators._tgate_callbacks import with_callbacks
from tuner.accelerators._tgate_graph import TGatePart
from tuner.accelerators._tgate_loop import LoopModes, average_of_halves
from tuner.errors import UnfitError
from tuner.formatting import listed
from tuner.pipelines.calls import check_guided
from tuner.pipelines.denoiser import denoiser_of
from tuner.pipelines.generation import Call, Generation
from tuner.plain_code import PlainCode, Use
from tuner.plans.plan import Plan

LOADERS = {  # class of a pipeline -> the package's function that gives it another loop
    "StableDiffusionPipeline": "TgateSDLoader",
    "StableDiffusionXLPipeline": "TgateSDXLLoader",
    "PixArtAlphaPipeline": "TgatePixArtAlphaLoader",
    "PixArtSigmaPipeline": "TgatePixArtSigmaLoader",
}


@dataclass(frozen=True, kw_only=True)
class TGate(Accelerator):
    """Reuse attention outputs, and drop guidance after a gate step.

    (Zhang, Liu et al., 2024, arXiv 2404.02747.) Before the gate step, self-attention is computed
    every `sp_interval` steps once `warmup` steps are done. From the gate step on, cross-attention
    is a stored average, the batch is halved because classifier-free guidance ends, and
    self-attention is computed every `fi_interval` steps. An earlier gate and longer intervals are
    faster and follow the prompt less.
    """

    name: ClassVar[str] = "tgate"
    paper: ClassVar[str] = "arXiv 2404.02747"
    packages: ClassVar[tuple[str, ...]] = ("tgate",)
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
        help="first step without guidance",
    )
    sp_interval: int = knob(
        tuple(range(2, 10)),
        low=1,
        high=1000,
        help="before gate_step, self-attention is computed once in this many steps",
    )
    fi_interval: int = knob(
        tuple(range(1, 6)),
        low=1,
        high=1000,
        help="from gate_step on, self-attention is computed once in this many steps",
    )
    warmup: int = knob(
        (1, 2, 3),
        low=0,
        high=1000,
        gentler_when_higher=True,
        help="number of steps at the start that reuse no self-attention",
    )

    def plan(self, plan: Plan) -> None:
        """Follow the package's `tgate_scheduler` for each layer, at the steps at which it runs."""
        for number, step in enumerate(plan.steps):
            step.guided = number < self.gate_step
        own = zip(*(step.self_source for step in plan.steps), strict=True)
        cross = zip(*(step.cross_source for step in plan.steps), strict=True)
        layers = list(zip(own, cross, strict=True))
        if not layers:
            return
        known = {layer: self._after(*layer) for layer in set(layers)}  # many are equal
        by_step = zip(*(known[layer] for layer in layers), strict=True)
        for step, sources in zip(plan.steps, by_step, strict=True):
            step.self_source, step.cross_source = map(list, zip(*sources, strict=True))

    def _after(
        self, own: Sequence[int | None], cross: Sequence[int | None]
    ) -> list[tuple[int | None, int | None]]:
        """By step: the sources of a layer's self- and cross-attention, with T-GATE.

        `own` and `cross` are those without it, which stay where the layer does not run.
        """
        sources = self._sources([source is not None for source in own])
        before = zip(own, cross, strict=True)
        return [
            earlier if source is None else source
            for earlier, source in zip(before, sources, strict=True)
        ]

    def _sources(self, live: Sequence[bool]) -> list[tuple[int, int] | None]:
        """By step: the steps that a layer's self- and cross-attention are taken from.

        `live` says at which steps the layer runs; at the others the entry is None.
        """
        sources: list[tuple[int, int] | None] = []
        stored_self: int | None = None  # the step whose self-attention is stored
        stored_cross = self.gate_step - 1  # a full step, at which every layer runs
        for number, runs in enumerate(live):
            if not runs:
                sources.append(None)
                continue
            if number < self.gate_step - 1:
                computes = number <= self.warmup or number % self.sp_interval == 0
                stores = number >= self.warmup
            elif number == self.gate_step - 1:
                computes = stores = True
            else:
                computes = stores = number % self.fi_interval == 0
            self_source = number if computes or stored_self is None else stored_self
            sources.append((self_source, stored_cross if number >= self.gate_step else number))
            if computes and stores:
                stored_self = number
        return sources

    @classmethod
    def check(cls, pipeline: Any) -> None:
        """The package has a denoising loop of its own for each pipeline class that it supports."""
        _loader(pipeline)

    def check_call(self, pipeline: Any, arguments: dict[str, Any]) -> None:
        """Without guidance there is no second half of the batch to drop at the gate."""
        check_guided(self.name, pipeline, arguments)

    def check_pass(self, generation: Generation) -> None:
        """A batch that is halved before the gate leaves nothing to average at the gate."""
        if generation.resized and generation.step < self.gate_step <= generation.steps:
            raise UnfitError(
                f"tgate itself ends guidance at step {self.gate_step}, but this call's batch "
                f"changes at step {generation.step} (a callback that ends guidance does so); "
                "leave the callback out"
            )

    def full_steps(self) -> frozenset[int]:
        """The step that fills the stored attentions, and the first one with half the batch."""
        return frozenset({self.gate_step - 1, self.gate_step})

    def plain_code(self, use: Use) -> PlainCode:
        """The package's loader, whose loop stands beside the pipeline's own."""
        if use.pipeline not in LOADERS:
            raise UnfitError(f"{self.name}: the package tgate has no loop for {use.pipeline}")
        if "block outputs" in use.occupied:
            raise UnfitError(
                f"{self.name}: where blocks are skipped, the package tgate reuses attention "
                "outputs of the call before"
            )
        loader = LOADERS[use.pipeline]
        return PlainCode(
            imports=(f"from tgate import {loader}",),
            setup=(f"pipe = {loader}(pipe)  # from here on call pipe.tgate(...), not pipe(...)",),
            call="pipe.tgate",
            arguments=self._package_arguments(),
        )

    def _package_arguments(self) -> dict[str, Value]:
        """The knobs under the names that the package gives them."""
        values = self.values()
        return values | {"warm_up": values.pop("warmup")}

    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Run the package's denoising loop in the place of the pipeline's."""
        attentions = _Attentions()
        self._set_loop(pipeline, call, attentions.modes)

        def drop(module: Any, args: Any) -> None:
            if generation.resized and generation.step < self.gate_step:
                attentions.drop()

        denoiser = denoiser_of(pipeline)
        denoiser.register_forward_pre_hook(drop)
        attentions.wrap(denoiser)
        return attentions.reset

    def graph_part(self, pipeline: Any, generation: Generation, call: Call) -> TGatePart:
        """The package's loop, with attentions that can be compiled."""
        part = TGatePart(generation, self.gate_step)
        self._set_loop(pipeline, call, part.modes)
        return part

    def _set_loop(self, pipeline: Any, call: Call, modes: LoopModes) -> None:
        """Make a call run the package's loop, which sets in `modes` what attentions do."""
        _loader(pipeline)(pipeline)
        loop = pipeline.__dict__.pop("tgate").__func__
        call.function = with_callbacks(_with_globals(loop, register_forward=modes.set))
        call.extra = self._package_arguments()


class _Attentions:
    """Stores and reuses the outputs of a denoiser's attentions, as the package's loop demands.

    The package replaces the function of every attention at each step; its functions look up a
    signature at each call and bypass the attention's processor. Here each attention is wrapped
    once: the arithmetic is the same, the attention's own processor runs, and the host spends less
    time between kernels.
    """

    def __init__(self) -> None:
        self._stored: dict[Any, Any] = {}
        self.modes = LoopModes()

    def reset(self) -> None:
        """Drop everything that an earlier generation left."""
        self.drop()
        self.modes.reset()

    def drop(self) -> None:
        """Drop the stored outputs, as when they are of another batch size."""
        self._stored.clear()

    def wrap(self, denoiser: Any) -> None:
        """Wrap all attentions of a denoiser."""
        for module in denoiser.modules():
            if type(module).__name__ == "Attention":
                module.forward = self._wrapped(module)

    def _wrapped(self, attention: Any) -> Callable[..., Any]:
        compute = attention.forward

        def forward(
            hidden_states: Any, encoder_hidden_states: Any = None, *args: Any, **kwargs: Any
        ) -> Any:
            modes = self.modes
            mode = modes.of_self if encoder_hidden_states is None else modes.of_cross
            if mode["reuse"] and attention in self._stored:
                return self._stored[attention]
            output = compute(hidden_states, encoder_hidden_states, *args, **kwargs)
            if mode["cache"]:
                self._stored[attention] = average_of_halves(output) if modes.averages else output
            return output

        return forward


def _with_globals(function: Any, **names: Any) -> Any:
    """A copy of a function that sees other values for some global names of its module."""
    import torch

    plain = inspect.unwrap(function)
    copy = FunctionType(
        plain.__code__,
        plain.__globals__ | names,
        plain.__name__,
        plain.__defaults__,
        plain.__closure__,
    )
    copy.__kwdefaults__ = plain.__kwdefaults__
    return torch.no_grad()(copy)


def _loader(pipeline: Any) -> Callable[[Any], Any]:
    """The package's function that gives a pipeline the loop; an `UnfitError` if there is none."""
    import tgate

    try:
        loader: Callable[[Any], Any] = getattr(tgate, LOADERS[type(pipeline).__name__])
    except KeyError:
        raise UnfitError(
            f"tgate does not fit {type(pipeline).__name__}; it fits {listed([*LOADERS])}"
        ) from None
    return loader


component = TGate
