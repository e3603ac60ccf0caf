"""A variant: a pipeline as people run it, with the arguments of its call, in tiny."""

import inspect
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from tests.helpers.pipelines import PROMPTS, generators, new
from tests.helpers.relatives import SIDE

STEPS = 5

Numbers = Sequence[int]  # of prompts, each with its own noise
Arguments = Callable[[Any, Numbers], dict[str, Any]]  # of a call for these prompts


def constant(**arguments: Any) -> Arguments:
    """The same arguments whatever the pipeline and the prompts are."""
    return lambda pipeline, numbers: dict(arguments)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of the table."""

    family: str
    name: str
    make: Callable[[], Any]
    arguments: Arguments = field(default_factory=constant)
    # Computed in float64, where the order of a sum does not change the picture visibly. Not if the
    # variant itself sets the type of weights.
    precise: bool = True
    tolerance: float = 1e-6  # how far a picture alone may be from the same one in a batch
    needs: tuple[str, ...] = ()  # packages beside those of the tuner
    pictures: int = 1  # for each prompt
    prompts: Numbers = (0, 1)

    @property
    def title(self) -> str:
        return f"{self.family}: {self.name}"

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages that are not installed."""
        return tuple(name for name in self.needs if find_spec(name) is None)

    def new(self) -> Any:
        """A new pipeline, with random weights that are the same each time."""
        pipeline = self.make()
        for part in pipeline.components.values():
            if isinstance(part, torch.nn.Module):
                part.eval().requires_grad_(False)
                if self.precise:
                    part.double()
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def draw(self, generate: Any, pipeline: Any, numbers: Numbers = ()) -> np.ndarray:
        """The pictures of these prompts; `generate` is the pipeline or its accelerated call."""
        numbers = numbers or self.prompts
        known = inspect.signature(generate).parameters
        usual = {
            "prompt": [PROMPTS[number] for number in numbers],
            "height": SIDE,
            "width": SIDE,
            "num_inference_steps": STEPS,
            "output_type": "np",
            "max_sequence_length": 16,
            "use_resolution_binning": False,
            "generator": [
                generators(1, first=number * self.pictures + copy)[0]
                for number in numbers
                for copy in range(self.pictures)
            ],
        }
        arguments = {name: value for name, value in usual.items() if name in known}
        arguments |= self.arguments(pipeline, numbers)
        with quiet():
            output = generate(**arguments)
        images = output[0] if isinstance(output, tuple) else output.images
        return np.asarray(images)


def row(
    family: str,
    name: str,
    make: Callable[[], Any] | None = None,
    arguments: Arguments | None = None,
    **more: Any,
) -> Variant:
    """A variant; by default of the family's own pipeline, called as usual."""
    return Variant(
        family=family,
        name=name,
        make=make or (lambda: new(family)),
        arguments=arguments or constant(),
        **more,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and what diffusers logs, which the tiny models provoke."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
