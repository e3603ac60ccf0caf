"""What one call of a pipeline tells the accelerators that are applied to it."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Generation:
    """What accelerators share while one `generate` call runs.

    `step` counts the denoiser's calls from 0 and is -1 before the first. From then on `steps` is
    how many there will be, and `first` the place of the first among the scheduler's timesteps:
    image to image begins in their middle. At `full_steps` no accelerator may take features from an
    earlier step, because another one changes their shape or keeps them. `resized` says that this
    step's inputs have other shapes than the last one's, and `plain_batch` that the first one's had
    one row for each picture, or two with guidance. `rng` is the `torch.Generator` of random
    choices, seeded with `seed` by whoever draws first.
    """

    seed: int = 0
    steps: int = 0
    first: int = 0
    step: int = -1
    full_steps: frozenset[int] = frozenset()
    resized: bool = False
    plain_batch: bool = True
    rng: Any = None

    @property
    def afresh(self) -> bool:
        """Whether nothing from an earlier step may be used at this one."""
        return self.resized or self.step in self.full_steps


@dataclass
class Call:
    """How the pipeline is called: a function of it and its arguments, and what is added to them."""

    function: Any
    extra: dict[str, Any]
