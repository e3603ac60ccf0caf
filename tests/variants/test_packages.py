"""Variants draw what the packages themselves draw with them, bit for bit."""

from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from tests.helpers.pipelines import same
from tests.variants.cell import STRONG, row_of
from tests.variants.rows import VARIANTS
from tests.variants.variant import STEPS, Variant, quiet
from tuner import registry
from tuner.applying.applied import applied
from tuner.plain_code import Use

# Guided, and with the whole batch at each step; bugs of the packages do not touch them.
ROWS = (
    "sd: image to image, strength 0.75",
    "sd: inpainting, strength 0.75",
    "sd: ControlNet",
    "sd: T2I-Adapter",
    "sd: LoRA",
    "sd: IP-Adapter",
    "sd: a negative prompt",
    "sd: prompt embeddings",
    "sd: two pictures for each prompt",
    "sd: model offloading",
    "sdxl: ControlNet",
    "sdxl: micro-conditioning",
    "sdxl: refiner from the half (denoising_start)",
)
PACKAGES = ("deepcache", "tome", "pab", "taylorseer")
BY_TITLE = {variant.title: variant for variant in VARIANTS}
QUICK = {("sd: image to image, strength 0.75", "deepcache"), ("sdxl: ControlNet", "tome")}


def drawn_by_the_package(variant: Variant, name: str) -> np.ndarray:
    """The pictures of a pipeline to which the package was applied as its documentation says."""
    use = Use(
        pipeline="StableDiffusionPipeline",
        device_type="cpu",
        dtype="float64" if variant.precise else "float32",
        steps=STEPS,
        guided=True,
        batch=2,
        seed=0,
        occupied=frozenset(),
    )
    accelerator = registry.components("accelerators")[name].from_values(dict(STRONG[name]))
    code = accelerator.plain_code(use)
    with quiet(), ExitStack() as contexts:
        variables: dict[str, Any] = {"pipe": variant.new()}
        exec("\n".join(("import torch", *code.imports, *code.setup, *code.before)), variables)
        if code.context is not None:
            contexts.enter_context(eval(code.context, variables))
        return variant.draw(variables["pipe"], variables["pipe"])


@pytest.mark.parametrize(
    ("title", "name"),
    [
        pytest.param(
            title,
            name,
            marks=() if (title, name) in QUICK else pytest.mark.slow,
            id=f"{title}, {name}",
        )
        for title in ROWS
        for name in PACKAGES
    ],
)
def test_a_variant_is_drawn_as_the_package_draws_it(title: str, name: str) -> None:
    variant = BY_TITLE[title]
    row = row_of(variant)
    accelerator = registry.components("accelerators")[name].from_values(dict(STRONG[name]))
    with quiet(), applied(row.pipeline, (accelerator,)) as generate:
        ours = variant.draw(generate, row.pipeline)
    assert same(ours, drawn_by_the_package(variant, name))
    assert not same(ours, row.plain)
