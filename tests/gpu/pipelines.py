"""Pipelines on the GPU in half precision: full-size ones with random weights, and tiny ones."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch

from bench.lib.full_size import build
from tests.helpers.pipelines import new
from tuner.applying.applied import applied
from tuner.measure.evaluation import Evaluation
from tuner.pipelines.call_arguments import text_to_image
from tuner.setting import Setting
from tuner.size import Size

SIZE = Size(512, 512)
DEVICE = "cuda:0"
HALF = torch.float16
NARROW = 1  # full size
PROMPTS = ["a red circle on a blue ground", "two green squares"]


@cache
def full(family: str) -> Any:
    """SD1.5 or SDXL, shared by the whole session; a test that patches it must undo that."""
    return build(family, dtype=HALF, device=DEVICE, narrow=NARROW)


@cache
def small(family: str) -> Any:
    """A tiny pipeline of `tests.helpers.pipelines`: what the host does at a step is the same."""
    return new(family).to(DEVICE, HALF)


class Brightness:
    """A metric by which every picture has a positive score."""

    identity = "brightness"

    def score(self, images: list[Any], prompts: list[str]) -> list[float]:
        return [100 * float(np.asarray(image).mean()) / 255 for image in images]


def evaluation_of(family: str = "SD1.5", **changes: Any) -> Evaluation:
    """Two prompts at six steps, one by one, on a full-size pipeline."""
    values: dict[str, Any] = {
        "pipeline": full(family),
        "device": DEVICE,
        "steps": 6,
        "prompts": PROMPTS,
        "metric": Brightness(),
        "size": SIZE,
        "call": text_to_image(steps=6, guidance_scale=7.5, size=SIZE),
        "batch_size": 1,
        "most_pairs": 3,
    }
    return Evaluation(**values | changes)


def generated(evaluation: Evaluation, setting: Setting) -> torch.Tensor:
    """The pictures of every prompt, batch by batch."""
    with applied(evaluation.pipeline, setting.accelerators, seed=evaluation.seed) as call:
        batches = [evaluation.generate(call, numbers)[0] for numbers in evaluation.batches()]
    pictures = torch.cat(batches)
    assert torch.isfinite(pictures).all()
    return pictures


@contextmanager
def scarce() -> Iterator[None]:
    """Leave no free memory on the GPU."""
    gc.collect()
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info(DEVICE)
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved(DEVICE) / total, DEVICE)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, DEVICE)
