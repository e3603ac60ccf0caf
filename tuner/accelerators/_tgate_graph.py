"""T-GATE in compiled passes: the loop says before each pass what attentions compute and reuse."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tuner.accelerators._tgate_loop import LoopModes, average_of_halves
from tuner.pipelines.generation import Generation
from tuner.pipelines.graph_part import GraphPart, Slot


@dataclass(frozen=True)
class _Kind:
    """What all attentions do in a pass. Self-attentions leave their outputs where they compute."""

    reuses_self: bool
    reuses_cross: bool
    leaves_cross: bool
    averages: bool  # leave the average of the batch's halves, without and with the prompt
    stored: frozenset[int]  # the attentions whose outputs are stored, if any are reused


@dataclass(frozen=True)
class _Mode:
    """What one attention does; of a reused one, `compute` is not called."""

    reuses: bool
    leaves: bool
    averages: bool


class TGatePart(GraphPart):
    """Stores and reuses the outputs of attentions, as T-GATE's loop demands."""

    def __init__(self, generation: Generation, gate_step: int) -> None:
        self._generation, self._gate_step = generation, gate_step
        self._stored: dict[int, Any] = {}
        self.modes = LoopModes()

    def reset(self) -> None:
        """Drop everything that an earlier generation left."""
        self._stored.clear()
        self.modes.reset()

    def kind(self, sample: Any) -> _Kind:
        """What the loop has set, and which outputs there are to reuse."""
        if self._generation.resized and self._generation.step < self._gate_step:
            self._stored.clear()
        reuses_self, reuses_cross = self.modes.of_self["reuse"], self.modes.of_cross["reuse"]
        return _Kind(
            reuses_self=reuses_self,
            reuses_cross=reuses_cross,
            leaves_cross=self.modes.of_cross["cache"],
            averages=self.modes.averages,
            stored=frozenset(self._stored if reuses_self or reuses_cross else ()),
        )

    def idle(self, denoiser: Any, kind: _Kind) -> set[Any]:
        """The self-attentions that are reused, and what is inside."""
        return {
            module
            for index, attention in enumerate(_attentions(denoiser))
            if kind.reuses_self and index in kind.stored and not attention.is_cross_attention
            for module in attention.modules()
        }

    def patch(self, denoiser: Any, kind: _Kind, idle: set[Any]) -> Sequence[Slot]:
        """Make attentions leave their outputs, or take the stored ones."""
        slots = []
        for index, attention in enumerate(_attentions(denoiser)):
            slot = Slot()
            slots.append(slot)
            stored = index in kind.stored
            attention.forward = _wrapped(
                attention.forward,
                slot,
                _Mode(kind.reuses_self and stored, True, kind.averages),
                _Mode(kind.reuses_cross and stored, kind.leaves_cross, kind.averages),
            )
        return slots

    def give(self, kind: _Kind, slots: Sequence[Slot]) -> None:
        """Give the stored outputs to the attentions that reuse them."""
        for index in kind.stored:
            slots[index].given = self._stored[index]

    def take(self, kind: _Kind, slots: Sequence[Slot]) -> None:
        """Store what attentions left, if the loop demands it of their type."""
        for index, slot in enumerate(slots):
            if slot.left is not None:
                output, of_prompt = slot.left
                if of_prompt or self.modes.of_self["cache"]:
                    self._stored[index] = output


def _wrapped(
    compute: Callable[..., Any], slot: Slot, self_mode: _Mode, cross_mode: _Mode
) -> Callable[..., Any]:
    def forward(
        hidden_states: Any, encoder_hidden_states: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        mode = self_mode if encoder_hidden_states is None else cross_mode
        if mode.reuses:
            return slot.given
        output = compute(hidden_states, encoder_hidden_states, *args, **kwargs)
        if mode.leaves:
            left = average_of_halves(output) if mode.averages else output
            slot.left = (left, encoder_hidden_states is not None)
        return output

    return forward


def _attentions(denoiser: Any) -> Iterator[Any]:
    return (m for m in denoiser.modules() if type(m).__name__ == "Attention")
