"""The state of a running call that its accelerators share."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Generation:
    """The state of one accelerated call, shared by its accelerators."""

    seed: int = 0  # of the accelerators' random choices
    # Known from the first pass on: the number of steps, and the index of the first one in the
    # scheduler's timesteps, which is not 0 for image to image.
    steps: int = 0
    first: int = 0
    step: int = -1  # the current step, counted in passes from 0; -1 before the first pass
    # Steps at which no accelerator may reuse features of an earlier step, because another
    # accelerator changes their shape or stores them.
    full_steps: frozenset[int] = frozenset()
    resized: bool = False  # whether this step's inputs have other shapes than the previous one's
    plain_batch: bool = True  # whether the first batch had one row a picture, or two with guidance
    rng: Any = None  # a `torch.Generator`, created from `seed` by the first that needs it

    @property
    def afresh(self) -> bool:
        """Whether nothing from earlier steps may be reused at this step."""
        return self.resized or self.step in self.full_steps


@dataclass
class Call:
    """How the pipeline is called; an accelerator may change it in its `patch`."""

    function: Any  # takes the pipeline and the arguments of the call
    extra: dict[str, Any]  # further arguments for the function, if it is not the pipeline's own
