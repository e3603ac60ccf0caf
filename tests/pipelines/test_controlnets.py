"""A ControlNet's residuals with caches that run single rows, half of the rows, or no blocks."""

import copy
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.pipelines import PROMPTS
from tests.helpers.relatives import controlled, with_controlnet
from tuner.accelerators import Accelerator
from tuner.accelerators.fastercache import FasterCache
from tuner.accelerators.fbcache import FirstBlockCache
from tuner.accelerators.magcache import MagCache
from tuner.accelerators.taylorseer import TaylorSeer
from tuner.applying.applied import applied
from tuner.pipelines.double import doubled
from tuner.pipelines.generation import Call, Generation

FASTER = FasterCache(guidance_interval=3, attention_interval=2, warmup=2)
FITTING = [
    ("flux", FirstBlockCache(threshold=0.2)),
    ("flux", MagCache(max_skip_steps=3, threshold=0.24, retention=0.1)),
    ("flux", TaylorSeer(cache_interval=3, warmup=2, max_order=1)),
    ("sd3", FirstBlockCache(threshold=0.2)),
    ("sd3", TaylorSeer(cache_interval=3, warmup=2, max_order=1)),
    ("sd3", FASTER),
]


@pytest.mark.parametrize(("family", "accelerator"), FITTING, ids=str)
def test_pictures_under_a_controlnet_do_not_depend_on_the_batch(
    family: str, accelerator: Accelerator
) -> None:
    pipeline = with_controlnet(family)
    with applied(pipeline, (accelerator,)) as generate:
        together = controlled(generate, *PROMPTS[:2])
        alone = controlled(generate, PROMPTS[0])
    np.testing.assert_allclose(alone[0], together[0], rtol=0, atol=1e-4)
    assert not np.allclose(alone, controlled(pipeline, PROMPTS[0]), atol=1e-5)


SKIPPING = [
    ("flux", FirstBlockCache(threshold=10.0)),
    ("sd3", FirstBlockCache(threshold=10.0)),
    ("flux", MagCache(max_skip_steps=9, threshold=10.0, retention=0.0)),
]


@pytest.mark.parametrize(("family", "accelerator"), SKIPPING, ids=str)
def test_a_pass_that_skips_its_blocks_adds_no_residual_twice(family: str, accelerator: Any) -> None:
    pipeline = with_controlnet(family)
    transformer = pipeline.transformer
    seen: list[Any] = []
    hook = transformer.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs), with_kwargs=True
    )
    controlled(pipeline, num_inference_steps=8)
    hook.remove()
    given = seen[0]
    computed: list[int] = []
    inner = transformer.transformer_blocks[1].attn
    counting = inner.register_forward_hook(lambda *_: computed.append(1))
    generation = Generation(steps=8, step=0)
    call = Call(function=pipeline, extra={})
    with torch.no_grad(), doubled(transformer) as double:
        stand_in = copy.copy(pipeline)
        stand_in.transformer = double
        accelerator.patch(stand_in, generation, call)
        whole = double(**given)[0]
        after = len(computed)
        generation.step = 1
        skipped = double(**given)[0]
    counting.remove()
    assert after > 0
    assert len(computed) == after  # nothing was computed: the same inputs give the same answer
    torch.testing.assert_close(skipped, whole, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(transformer(**given)[0], whole, rtol=1e-4, atol=1e-5)
