"""The contract of an accelerator's part in the compiled passes of a call.

Compiled code must not decide anything by a counter, or each step would be compiled anew. So a part
says outside of it what kind of pass is next (full or shallow, computed or reused), and each kind
has a double of the denoiser that is patched for it once and for all, and compiled once. What a pass
takes from an earlier one, and leaves for later ones, goes through slots.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar


class Slot:
    """What compiled code is given from an earlier pass, and what it leaves for later ones.

    Each is a tensor or nested tuples of tensors; None if there is none. A patch that refers to a
    slot of its own, and not to a name or a number, is the same code for each block of a denoiser,
    so that all blocks share one graph.
    """

    def __init__(self) -> None:
        self.given: Any = None
        self.left: Any = None

    def clear(self) -> None:
        """Drop the tensors after a pass."""
        self.given = self.left = None


class GraphPart(ABC):
    """What an accelerator does in the passes of one call of a compiled denoiser."""

    # Whether it patches anything inside transformer blocks. If not, blocks that are compiled one by
    # one are the same code in passes of all its kinds.
    within_blocks: ClassVar[bool] = True

    @abstractmethod
    def kind(self, sample: Any) -> Hashable:
        """What this part does in the next pass, whose input is `sample`; called once a pass.

        All that its patch depends on must be in it, because doubles are kept by their kinds.
        """

    def idle(self, denoiser: Any, kind: Any) -> set[Any]:
        """Modules of a double that do not run in passes of this kind."""
        return set()

    @abstractmethod
    def patch(self, denoiser: Any, kind: Any, idle: set[Any]) -> Sequence[Slot]:
        """Patch a double for passes of this kind.

        Args:
            denoiser: the double.
            kind: what `kind` returned.
            idle: the modules that do not run, by all parts.

        Returns:
            The slots of the patches, in the same order for the same kind and denoiser.
        """

    @abstractmethod
    def give(self, kind: Any, slots: Sequence[Slot]) -> None:
        """Fill the slots before a pass."""

    def take(self, kind: Any, slots: Sequence[Slot]) -> None:  # noqa: B027 - some leave nothing
        """Store what a pass left in the slots."""

    @abstractmethod
    def reset(self) -> None:
        """Drop what was stored."""
