"""Generating many settings on the same prompts, where equal first steps are computed once.

Settings whose plans begin with the same steps compute the same latents in them. A setting can reuse
those latents up to a step after which no cached feature of an earlier step is used, such as
T-GATE's gate or a full pass. The pictures are the same bit for bit (`tests/bench`); only the time
differs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tuner.accelerators import Accelerator, Value
from tuner.applying.applied import applied
from tuner.pipelines.generation import Call, Generation
from tuner.plans.plan import Plan, Shape, plan_of
from tuner.setting import Setting

Key = tuple[Any, ...]


@dataclass
class Trail:
    """The steps of the last generation: each one's key, the denoiser's output, the rng's state."""

    keys: list[Key] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    rng_states: list[Any] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ReusedSteps(Accelerator):
    """Reads the outputs of the first steps from a trail, and adds the other steps to it."""

    name: ClassVar[str] = "reused-steps"
    occupies: ClassVar[frozenset[str]] = frozenset()
    order: ClassVar[int] = 1000  # applied last, around all other accelerators
    trail: Trail
    keys: list[Key]
    start: int  # the first step that is computed

    @classmethod
    def knobs(cls) -> tuple[()]:
        """It is part of no setting."""
        return ()

    def values(self) -> dict[str, Value]:
        """It is part of no setting."""
        return {}

    def plan(self, plan: Plan) -> None:
        """It leaves the plan unchanged."""

    @classmethod
    def check(cls, pipeline: Any) -> None:
        """It fits every pipeline with a U-Net."""

    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Replace the U-Net's `forward`."""
        unet, trail = pipeline.unet, self.trail
        compute = unet.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            step = generation.step
            if step < self.start:
                return trail.outputs[step]
            if step == self.start:
                del trail.keys[step:], trail.outputs[step:], trail.rng_states[step:]
                if step and trail.rng_states[-1] is not None:
                    import torch

                    generation.rng = torch.Generator(unet.device)
                    generation.rng.set_state(trail.rng_states[-1])
            output = compute(*args, **kwargs)
            trail.keys.append(self.keys[step])
            trail.outputs.append(output)
            trail.rng_states.append(generation.rng and generation.rng.get_state())
            return output

        unet.forward = forward
        return lambda: None


@contextmanager
def shared(
    pipeline: Any, setting: Setting, shape: Shape, steps: int, trail: Trail, *, seed: int
) -> Iterator[Callable[..., Any]]:
    """As `applied`, for one generation of the same prompts as the trail's."""
    plan = plan_of(setting.accelerators, shape, steps)
    keys = keys_of(setting, plan)
    reused = ReusedSteps(trail=trail, keys=keys, start=start_of(plan, keys, trail.keys))
    with applied(pipeline, (*setting.accelerators, reused), seed=seed) as generate:
        yield generate


def keys_of(setting: Setting, plan: Plan) -> list[Key]:
    """A key for each step; equal keys after equal steps mean equal outputs."""
    constant = (tuple(plan.merged), tuple(sorted(plan.data_dependent.items())))
    return [
        (step.guided, step.entered, tuple(step.self_source), tuple(step.cross_source), constant)
        for step in plan.steps
    ]


def start_of(plan: Plan, keys: Sequence[Key], trail: Sequence[Key]) -> int:
    """The first step to compute; those before it are reused from the trail.

    The last step is always computed.
    """
    common = 0
    while common < min(len(trail), len(plan.steps) - 1) and trail[common] == keys[common]:
        common += 1
    return max(step for step in restarts(plan) if step <= common)


def restarts(plan: Plan) -> Iterator[int]:
    """The steps from which on no cached feature of an earlier step is used."""
    for start in range(len(plan.steps)):
        later = plan.steps[start:]
        sources = [s for step in later for s in (*step.self_source, *step.cross_source)]
        if later[0].entered is None and all(s is None or s >= start for s in sources):
            yield start


def in_order(settings: Sequence[Setting], shape: Shape, steps: int) -> list[Setting]:
    """The settings in an order in which each reuses many steps of the previous one.

    Among settings with the same first steps, the one that equals the baseline for the most steps
    comes first, so that the others reuse its steps.
    """

    def sort_key(setting: Setting) -> Any:
        plan = plan_of(setting.accelerators, shape, steps)
        return tuple(plan.merged), [
            (not s.guided, s.entered or -1, _numbers(s.self_source), _numbers(s.cross_source))
            for s in plan.steps
        ]

    return sorted(settings, key=sort_key)


def _numbers(sources: Sequence[int | None]) -> tuple[int, ...]:
    return tuple(-1 if source is None else source for source in sources)
