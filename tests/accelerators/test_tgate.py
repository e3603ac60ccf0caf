"""Known bugs of the package tgate, and how ours differs."""

from typing import Any

import diffusers
import numpy as np
import pytest
from diffusers.models.attention_processor import AttnProcessor2_0

from tests.accelerators.upstream import (
    GATED,
    LOADERS,
    ONE,
    attentions,
    every_family,
    ours,
    raw_arguments,
)
from tests.helpers.pipelines import PROMPTS, STEPS, new, pictures, same, tiny
from tuner.accelerators.tgate import TGate
from tuner.applying.applied import applied
from tuner.errors import UnfitError

every_loader = pytest.mark.parametrize("family", LOADERS)


@pytest.mark.parametrize(
    "setting",
    [
        GATED,
        TGate(gate_step=5, sp_interval=2, fi_interval=3, warmup=2),
        TGate(gate_step=STEPS, sp_interval=3, fi_interval=1, warmup=0),
    ],
    ids=str,
)
@every_loader
def test_our_tgate_is_the_packages(family: str, setting: TGate) -> None:
    raw = LOADERS[family](new(family))
    expected = pictures(raw.tgate, **raw_arguments(setting))
    assert same(ours(new(family), setting), expected)


# 1. T-GATE leaves every attention patched


@every_loader
def test_1_raw_tgate_leaves_every_attention_patched_and_the_pipeline_broken(family: str) -> None:
    raw = LOADERS[family](new(family))
    pictures(raw.tgate, **raw_arguments(GATED))
    assert all(
        {"forward", "cache"} <= set(vars(attention)) for attention in attentions(raw).values()
    )
    with pytest.raises(RuntimeError, match="must match the size"):
        pictures(raw)


@every_family
def test_1_raw_tgate_makes_a_single_picture_silently_wrong(family: str) -> None:
    raw = LOADERS[family](new(family))
    expected = pictures(raw, ONE)
    pictures(raw.tgate, ONE, **raw_arguments(GATED))
    assert not np.allclose(pictures(raw, ONE), expected, atol=1e-3)


@pytest.mark.parametrize("prompts", [ONE, PROMPTS[:2]], ids=len)
@every_family
def test_1_after_our_tgate_the_pipeline_is_itself_again(
    family: str, prompts: tuple[str, ...]
) -> None:
    pipeline = tiny(family)
    expected = pictures(pipeline, prompts)
    ours(pipeline, GATED, prompts=prompts)
    assert not any(
        {"forward", "cache"} & set(vars(attention)) for attention in attentions(pipeline).values()
    )
    assert same(pictures(pipeline, prompts), expected)


# 8. T-GATE needs guidance and bypasses attention processors


@every_family
def test_8_raw_tgate_without_guidance_crashes(family: str) -> None:
    raw = LOADERS[family](new(family))
    with pytest.raises(ValueError, match="not enough values to unpack"):
        pictures(raw.tgate, ONE, guidance_scale=1.0, gate_step=5)


@every_family
def test_8_our_tgate_refuses_to_go_without_guidance(family: str) -> None:
    with (
        applied(tiny(family), (GATED,)) as generate,
        pytest.raises(UnfitError, match="tgate needs guidance_scale above 1") as refusal,
    ):
        pictures(generate, guidance_scale=1.0)
    assert "\n" not in str(refusal.value)


class CountingProcessor(AttnProcessor2_0):  # type: ignore[misc]
    calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        CountingProcessor.calls += 1
        return super().__call__(*args, **kwargs)


def test_8_raw_tgate_bypasses_attention_processors() -> None:
    raw = LOADERS["sd"](new("sd"))
    raw.unet.set_attn_processor(CountingProcessor())
    pictures(raw.tgate, **raw_arguments(GATED))
    assert CountingProcessor.calls == 0


def test_8_our_tgate_runs_the_attention_processors_that_are_there() -> None:
    expected = ours(new("sd"), GATED)
    pipeline = new("sd")
    pipeline.unet.set_attn_processor(CountingProcessor())
    assert same(ours(pipeline, GATED), expected)
    assert CountingProcessor.calls > 0


def test_8_our_tgate_refuses_a_controlnet() -> None:
    parts = new("sd").components
    unet = parts["unet"]
    parts["controlnet"] = diffusers.ControlNetModel.from_unet(unet)
    pipeline = diffusers.StableDiffusionControlNetPipeline(**parts, requires_safety_checker=False)
    with pytest.raises(UnfitError, match="StableDiffusionControlNetPipeline") as refusal:
        ours(pipeline, GATED)
    assert "\n" not in str(refusal.value)
