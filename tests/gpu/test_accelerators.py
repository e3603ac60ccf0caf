"""Accelerators on a GPU: exact where they change nothing, undone, and without synchronization."""

from functools import cache, partial
from typing import Any

import pytest
import torch

from bench.lib.waits import waits
from tests.accelerators.cases import DECIDE_BY_THE_PICTURE, KNOWN, fits, neutral, setting
from tests.gpu.pipelines import DEVICE, evaluation_of, generated, small
from tests.helpers.pipelines import FAMILIES, PROMPTS, pictures
from tuner.applying.applied import applied
from tuner.setting import Setting

pytestmark = pytest.mark.gpu

UNETS = {"SD1.5": "sd", "SDXL": "sdxl"}
ON_FULL_SIZE = [
    (name, full) for full, tiny in UNETS.items() for name in KNOWN if fits((name,), tiny)
]
ON_TINY = [(name, family) for family in FAMILIES for name in KNOWN if fits((name,), family)]

on_full_size = pytest.mark.parametrize(("name", "family"), ON_FULL_SIZE)


@cache
def untouched(family: str) -> torch.Tensor:
    """The pictures before any accelerator was applied."""
    return generated(evaluation_of(family), Setting())


@on_full_size
def test_a_neutral_setting_gives_the_baselines_pictures_bit_for_bit(name: str, family: str) -> None:
    before = untouched(family)
    assert torch.equal(generated(evaluation_of(family), neutral((name,))), before)


@on_full_size
def test_a_setting_changes_the_pictures_and_is_undone_bit_for_bit(name: str, family: str) -> None:
    before = untouched(family)
    evaluation = evaluation_of(family, steps=8)
    plain = generated(evaluation, Setting())
    assert not torch.equal(generated(evaluation, setting((name,))), plain)
    assert torch.equal(generated(evaluation, Setting()), plain)
    assert torch.equal(generated(evaluation_of(family), Setting()), before)


@on_full_size
def test_a_setting_gives_the_same_pictures_twice_bit_for_bit(name: str, family: str) -> None:
    evaluation = evaluation_of(family, steps=8)
    first = generated(evaluation, setting((name,)))
    assert torch.equal(generated(evaluation, setting((name,))), first)


def test_waits_for_the_gpu_are_counted() -> None:
    value = torch.ones(1, device=DEVICE)
    assert waits(lambda: [value.item() for _ in range(3)], DEVICE) == 3
    assert waits(lambda: value + 1, DEVICE) == 0


@pytest.mark.parametrize(("name", "family"), ON_TINY)
def test_no_accelerator_waits_for_the_gpu_at_a_step(name: str, family: str) -> None:
    pipeline = small(family)
    with applied(pipeline, setting((name,)).accelerators) as generate:
        few, many = (counted(generate, steps) for steps in (8, 16))
    few, many = few - counted(pipeline, 8), many - counted(pipeline, 16)
    # A data-dependent accelerator reads each picture, with the prompt and without. And diffusers
    # copies FasterCache's mask of frequencies from the host, at each pass that it makes up for.
    allowed = 2 if name in DECIDE_BY_THE_PICTURE or name == "fastercache" else 0
    assert (many - few) / 8 <= allowed, (few, many)


def counted(generate: Any, steps: int) -> int:
    """How often the host waits for the GPU in a picture of this number of steps."""
    make = partial(pictures, generate, PROMPTS[:1], num_inference_steps=steps)
    make()  # the first of its shapes
    return waits(make, DEVICE)
