"""What a call will do: how many steps run, and whether there is a second pass for guidance."""

from functools import cache
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import LCMScheduler, MagCacheConfig
from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS

from tests.helpers.pipelines import PROMPTS, WIDTH, new, pictures, same
from tests.helpers.relatives import PICTURE, drawn, relative, unet, with_ip_adapter
from tuner.accelerators.deepcache import DeepCache
from tuner.accelerators.fastercache import FasterCache
from tuner.accelerators.magcache import MagCache
from tuner.accelerators.tgate import TGate
from tuner.applying.applied import applied
from tuner.errors import UnfitError
from tuner.pipelines.calls import is_guided, steps_that_run
from tuner.pipelines.denoiser import denoiser_of
from tuner.plans.plan import plan_of, shape_of

TEN = [999, 845, 730, 587, 443, 310, 193, 116, 53, 13]
CACHED = (DeepCache(cache_interval=3, cache_branch_id=0),)
GATED = TGate(gate_step=4, sp_interval=2, fi_interval=2, warmup=1)


@cache
def with_lcm_unet(kind: str = "StableDiffusionPipeline") -> Any:
    """A pipeline whose U-Net takes the guidance scale as an input; one for all tests."""
    scheduler = LCMScheduler.from_config(new("sd").scheduler.config)
    return relative(kind, "sd", unet=unet(time_cond_proj_dim=8), scheduler=scheduler)


def dpm_solver(pipeline: Any) -> Any:
    kind = diffusers.DPMSolverMultistepScheduler
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
    return pipeline


IMAGE: dict[str, Any] = {"image": PICTURE}
STEPS = {
    "sd": (lambda: new("sd"), {}, 8),
    "sd timesteps": (lambda: dpm_solver(new("sd")), {"timesteps": TEN}, 10),
    "sd img2img": (
        lambda: relative("StableDiffusionImg2ImgPipeline", "sd"),
        IMAGE | {"strength": 0.7, "num_inference_steps": 9},
        6,
    ),
    "sdxl until the half": (lambda: new("sdxl"), {"denoising_end": 0.5}, 4),
    "sdxl from the half": (
        lambda: relative("StableDiffusionXLImg2ImgPipeline", "sdxl"),
        IMAGE | {"denoising_start": 0.5},
        4,
    ),
    "sd3 sigmas": (lambda: new("sd3"), {"sigmas": [1.0, 0.8, 0.5, 0.2]}, 4),
    "sd3 img2img": (
        lambda: relative("StableDiffusion3Img2ImgPipeline", "sd3"),
        IMAGE | {"strength": 0.7, "num_inference_steps": 9},
        7,  # it rounds the other way
    ),
    "flux sigmas": (lambda: new("flux"), {"sigmas": [1.0, 0.8, 0.5]}, 3),
    "flux img2img": (
        lambda: relative("FluxImg2ImgPipeline", "flux"),
        IMAGE | {"strength": 0.5},
        4,
    ),
    "pixart": (lambda: new("pixart"), {}, 8),
}


@pytest.mark.parametrize(("made", "arguments", "expected"), STEPS.values(), ids=STEPS)
def test_the_steps_that_run_are_known_before_the_call(
    made: Any, arguments: dict[str, Any], expected: int
) -> None:
    pipeline = made()
    passes: list[int] = []
    denoiser_of(pipeline).register_forward_pre_hook(lambda *_: passes.append(1))
    drawn(pipeline, **arguments)
    assert len(passes) == expected
    given = {"num_inference_steps": 8} | arguments
    assert steps_that_run(pipeline, given) == expected


@pytest.mark.parametrize(
    ("family", "arguments", "expected"),
    [
        ("sd", {}, True),  # the pipeline's default is 7.5
        ("sd", {"guidance_scale": 1.0}, False),
        ("sd3", {}, True),
        ("sd3", {"guidance_scale": 0.0}, False),
        ("pixart", {}, True),
        ("pixart", {"guidance_scale": 1.0}, False),
        ("flux", {"guidance_scale": 3.5}, False),  # an input of the model
        ("flux", {"true_cfg_scale": 2.0}, False),  # nothing without a negative prompt
        ("flux", {"true_cfg_scale": 2.0, "negative_prompt": "a blue ring"}, True),
    ],
)
def test_whether_a_call_is_guided_is_known_before_the_call(
    family: str, arguments: dict[str, Any], expected: bool
) -> None:
    assert is_guided(new(family), arguments) is expected


def test_a_unet_that_takes_the_guidance_as_an_input_makes_no_second_pass() -> None:
    assert not is_guided(with_lcm_unet(), {"guidance_scale": 8.0})
    assert not is_guided(with_lcm_unet("LatentConsistencyModelPipeline"), {})


@pytest.mark.parametrize("arguments", [{}, {"guidance_scale": 8.0}])
def test_tgate_is_refused_where_there_is_no_second_pass(arguments: dict[str, Any]) -> None:
    with (
        applied(with_lcm_unet(), (GATED,)) as generate,
        pytest.raises(UnfitError, match="takes guidance_scale as an input"),
    ):
        drawn(generate, *PROMPTS[:2], **arguments)


def test_fastercache_divides_by_the_steps_that_run() -> None:
    pipeline = new("sd3")
    drawn(pipeline, num_inference_steps=10)
    sigmas = [float(sigma) for sigma in pipeline.scheduler.sigmas[:-1]]
    setting = FasterCache(guidance_interval=3, attention_interval=2, warmup=1)
    with applied(pipeline, (setting,)) as generate:
        by_number = drawn(generate, num_inference_steps=10)
        assert same(drawn(generate, num_inference_steps=28, sigmas=sigmas), by_number)


def test_magcache_on_image_to_image_uses_the_ratios_and_the_share_of_the_steps_that_run() -> None:
    setting = MagCache(max_skip_steps=3, threshold=0.06, retention=0.2)
    pipeline = relative("FluxImg2ImgPipeline", "flux")
    image = {"image": PICTURE, "strength": 0.5, "num_inference_steps": 28}
    actual = drawn_with(pipeline, setting, **image)

    raw = relative("FluxImg2ImgPipeline", "flux")
    config = MagCacheConfig(
        threshold=0.06,
        max_skip_steps=3,
        retention_ratio=0.2,
        num_inference_steps=14,
        mag_ratios=FLUX_MAG_RATIOS[14:],
    )
    diffusers.apply_mag_cache(raw.transformer, config)
    assert same(actual, drawn(raw, **image))


def test_magcache_computes_its_share_of_the_first_steps_of_image_to_image() -> None:
    setting = MagCache(max_skip_steps=5, threshold=10.0, retention=0.2)
    pipeline = relative("FluxImg2ImgPipeline", "flux")
    steps: list[str] = []
    block = pipeline.transformer.transformer_blocks[1].attn
    with applied(pipeline, (setting,)) as generate:
        pipeline.transformer.register_forward_pre_hook(lambda *_: steps.append("."))
        block.register_forward_pre_hook(lambda *_: steps.__setitem__(-1, "#"))
        drawn(generate, image=PICTURE, strength=0.5, num_inference_steps=28)
    assert "".join(steps) == "###.....#....."


def test_magcache_of_text_to_image_is_what_its_plan_says() -> None:
    setting = MagCache(max_skip_steps=3, threshold=0.06, retention=0.2)
    pipeline = new("flux")
    ran: list[bool] = []
    block = pipeline.transformer.transformer_blocks[1].attn
    with applied(pipeline, (setting,)) as generate:
        pipeline.transformer.register_forward_pre_hook(lambda *_: ran.append(False))
        block.register_forward_pre_hook(lambda *_: ran.__setitem__(-1, True))
        drawn(generate, num_inference_steps=28)
    plan = plan_of((setting,), shape_of(pipeline, 16), 28)
    assert ran == [step.self_source[1] is not None for step in plan.steps]


def drawn_with(pipeline: Any, setting: Any, **more: Any) -> np.ndarray:
    with applied(pipeline, (setting,)) as generate:
        return drawn(generate, **more)


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_tgate_with_an_ip_adapter_is_the_pipeline_until_its_gate(family: str) -> None:
    pipeline = with_ip_adapter(family)
    plain = drawn(pipeline, *PROMPTS[:2], ip_adapter_image=PICTURE)
    nothing = TGate(**TGate.neutral)
    with applied(pipeline, (nothing,)) as generate:
        assert same(drawn(generate, *PROMPTS[:2], ip_adapter_image=PICTURE), plain)
        embeds = [torch.ones(2, 1, 8)]
        other = drawn(generate, ip_adapter_image_embeds=embeds)
    assert same(drawn(pipeline, ip_adapter_image_embeds=embeds), other)
    assert not np.allclose(other, plain[:1], atol=1e-4)


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_tgates_pictures_with_an_ip_adapter_do_not_depend_on_the_batch(family: str) -> None:
    pipeline = with_ip_adapter(family)
    with applied(pipeline, (GATED,)) as generate:
        together = drawn(generate, *PROMPTS[:2], ip_adapter_image=PICTURE)
        alone = drawn(generate, PROMPTS[0], ip_adapter_image=PICTURE)
    np.testing.assert_allclose(alone[0], together[0], rtol=0, atol=1e-5)
    without = drawn(pipeline, PROMPTS[0], ip_adapter_image=PICTURE)
    assert not np.allclose(alone, without, atol=1e-4)


class Anything(diffusers.StableDiffusionPipeline):  # type: ignore[misc]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


class PromptAndMore(diffusers.StableDiffusionPipeline):  # type: ignore[misc]
    def __call__(self, prompt: Any, **kwargs: Any) -> Any:
        return super().__call__(prompt, **kwargs)


class ByPlace(diffusers.StableDiffusionPipeline):  # type: ignore[misc]
    def __call__(self, prompt: Any, /, num_inference_steps: int = 3, **kwargs: Any) -> Any:
        return super().__call__(prompt, num_inference_steps=num_inference_steps, **kwargs)


class OwnSteps(diffusers.StableDiffusionPipeline):  # type: ignore[misc]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs | {"num_inference_steps": 8})


@pytest.mark.parametrize("kind", [Anything, PromptAndMore, ByPlace, OwnSteps])
def test_a_pipeline_that_passes_its_arguments_to_its_base_class_is_accelerated(kind: Any) -> None:
    pipeline = new("sd")
    with applied(pipeline, CACHED) as generate:
        expected = pictures(generate)
    pipeline.__class__ = kind
    seen = []

    def look(pipe: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        pipe.unet(given["latents"], t, encoder_hidden_states=torch.zeros(2, 16, WIDTH))
        seen.append(step)
        return given

    def draw(*args: Any, **kwargs: Any) -> Any:
        if kind is OwnSteps:
            del kwargs["num_inference_steps"]
        return generate(*args, **kwargs)

    with applied(pipeline, CACHED) as generate:
        assert same(pictures(draw), expected)
        assert same(pictures(draw, callback_on_step_end=look), expected)
    assert seen == list(range(8))
    with applied(pipeline, ()) as generate:
        assert same(pictures(draw), pictures(pipeline, num_inference_steps=8))


@pytest.mark.parametrize(("kind", "steps"), [(Anything, 50), (PromptAndMore, 50), (ByPlace, 3)])
def test_defaults_are_those_of_the_base_class_that_the_arguments_are_passed_to(
    kind: Any, steps: int
) -> None:
    pipeline = new("sd")
    pipeline.__class__ = kind
    assert steps_that_run(pipeline, {}) == steps
    assert is_guided(pipeline, {})
