"""DeepCache in compiled passes.

The package decides in every module, by the step's number, whether its output is taken from the
cache. Compiled, that would be another graph for each step. Here a pass is full or shallow, and a
double is patched for one of them. Only the outermost modules that a shallow pass skips are cached:
those inside do not run.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tuner.pipelines.generation import Generation
from tuner.pipelines.graph_part import GraphPart, Slot
from tuner.pipelines.step_graphs import cloned


@dataclass(frozen=True)
class _Kind:
    full: bool
    branch: int


class DeepCachePart(GraphPart):
    """Full passes, which leave the outputs of deep modules, and shallow ones, which take them."""

    within_blocks = False

    def __init__(
        self,
        interval: int,
        branch: int,
        generation: Generation,
        must_be_full: Callable[[int], bool],
    ) -> None:
        self._interval, self._branch = interval, branch
        self._generation = generation
        self._must_be_full = must_be_full
        self.reset()

    def reset(self) -> None:
        """Drop the cached outputs."""
        self._start: int | None = None  # the full pass from which the interval is counted
        self._cached: list[Any] = []

    def kind(self, sample: Any) -> _Kind:
        """Full every `interval` passes, and where nothing may be reused."""
        step = self._generation.step
        if self._generation.afresh or self._must_be_full(step) or self._start is None:
            self.reset()
            self._start = step
        return _Kind((step - self._start) % self._interval == 0, self._branch)

    def idle(self, denoiser: Any, kind: _Kind) -> set[Any]:
        """Everything in the modules that a shallow pass skips."""
        if kind.full:
            return set()
        return {inner for module in _deep(denoiser, kind.branch) for inner in module.modules()}

    def patch(self, denoiser: Any, kind: _Kind, idle: set[Any]) -> Sequence[Slot]:
        """Make the deep modules leave their outputs, or take those of the last full pass."""
        # FreeU scales features in place; what is cached must stay as it was.
        freeu = any(getattr(block, "b1", None) for block in denoiser.up_blocks)
        slots = []
        for module in _deep(denoiser, kind.branch):
            slot = Slot()
            slots.append(slot)
            module.forward = _leaving(module.forward, slot, freeu) if kind.full else _taking(slot)
        return slots

    def give(self, kind: _Kind, slots: Sequence[Slot]) -> None:
        """Give the cached outputs to a shallow pass."""
        if not kind.full:
            for slot, output in zip(slots, self._cached, strict=True):
                slot.given = output

    def take(self, kind: _Kind, slots: Sequence[Slot]) -> None:
        """Cache the outputs of a full pass."""
        if kind.full:
            self._cached = [slot.left for slot in slots]


def _leaving(forward: Callable[..., Any], slot: Slot, copies: bool) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        slot.left = cloned(output) if copies else output
        return output

    return run


def _taking(slot: Slot) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        # A copy, because what follows may change it in place; compiled, it costs nothing.
        return cloned(slot.given)

    return run


def _deep(unet: Any, branch: int) -> Iterator[Any]:
    """The outermost modules that do not run in a pass that enters at this skip branch."""
    block, layer = divmod(branch, 3)
    for number, down in enumerate(unet.down_blocks):
        if number > block or (number == block and layer == 0):
            yield down
        elif number == block:
            for modules in (down.resnets, _list(down, "attentions")):
                yield from list(modules)[layer:]
            yield from _list(down, "downsamplers")
    if unet.mid_block is not None:
        yield unet.mid_block
    for position, up in enumerate(unet.up_blocks):
        number = len(unet.up_blocks) - position - 1
        if number > block:
            yield up
        elif number == block:
            for modules in (up.resnets, _list(up, "attentions")):
                yield from list(modules)[: len(up.resnets) - layer - 1]


def _list(module: Any, name: str) -> list[Any]:
    return list(getattr(module, name, None) or [])
