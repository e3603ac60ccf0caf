"""Several passes of the denoiser for one step, and batches that change during a call."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.callbacks import SD3CFGCutoffCallback, SDCFGCutoffCallback, SDXLCFGCutoffCallback
from diffusers.models.unets import unet_2d_blocks
from diffusers.utils.torch_utils import apply_freeu

from tests.accelerators.cases import KNOWN, STRONG, fits, neutral, setting
from tests.helpers.pipelines import UNETS, WIDTH, new, same, tiny
from tests.helpers.relatives import drawn, relative
from tuner.accelerators import Accelerator
from tuner.accelerators.deepcache import DeepCache
from tuner.accelerators.tgate import TGate
from tuner.applying.applied import applied
from tuner.applying.pass_counter import PassCounter
from tuner.errors import UnfitError
from tuner.pipelines.denoiser import denoiser_of
from tuner.pipelines.generation import Generation

# Pipelines that pass through the denoiser more than once for one step.
SEVERAL: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "self-attention guidance": (
        lambda: relative("StableDiffusionSAGPipeline", "sd"),
        {"sag_scale": 0.75},
        "runs the UNet2DConditionModel a second time within step 0; set sag_scale to 0, or call it",
    ),
    "attend and excite": (
        lambda: relative("StableDiffusionAttendAndExcitePipeline", "sd"),
        {"token_indices": [1], "max_iter_to_alter": 2, "attn_res": (8, 8)},
        "runs the UNet2DConditionModel a second time",
    ),
    "several views": (
        lambda: relative("StableDiffusionPanoramaPipeline", "sd"),
        {"width": 640, "output_type": "latent"},
        "takes several scheduler steps at one timestep",
    ),
    "skipped layers": (
        lambda: new("sd3"),
        {"skip_guidance_layers": [1]},
        "takes two; leave it out",
    ),
}

SEVERAL_FIT = [
    (kind, name)
    for kind, family in zip(SEVERAL, ("sd", "sd", "sd", "sd3"), strict=True)
    for name in (("deepcache", "tome") if family == "sd" else ("taylorseer",))
]


@pytest.mark.parametrize(("kind", "name"), SEVERAL_FIT)
def test_a_second_pass_for_one_step_is_refused_and_leaves_nothing_behind(
    kind: str, name: str
) -> None:
    made, arguments, why = SEVERAL[kind]
    pipeline = made()
    processors = dict(denoiser_of(pipeline).attn_processors)
    shortly = arguments | {"num_inference_steps": 1}
    expected = drawn(pipeline, **shortly)
    for module, processor in processors.items():  # some pipelines leave others behind
        denoiser_of(pipeline).get_submodule(module.removesuffix(".processor")).processor = processor
    with applied(pipeline, setting((name,)).accelerators) as generate:
        with pytest.raises(UnfitError, match=why) as refusal:
            drawn(generate, **arguments)
        assert "\n" not in str(refusal.value)
        assert name in str(refusal.value)
    assert dict(denoiser_of(pipeline).attn_processors) == processors
    assert "step" not in vars(pipeline.scheduler)
    assert same(drawn(pipeline, **shortly), expected)


def test_self_attention_guidance_of_0_which_the_refusal_recommends_works() -> None:
    pipeline = relative("StableDiffusionSAGPipeline", "sd")
    expected = drawn(pipeline, sag_scale=0)
    with applied(pipeline, setting(("deepcache", "tome")).accelerators) as generate:
        with pytest.raises(UnfitError, match=r"deepcache \+ tome needs one pass .* sag_scale to 0"):
            drawn(generate)
        assert not same(drawn(generate, sag_scale=0), expected)


@pytest.mark.parametrize("when", [7, 3])
def test_a_pass_that_a_callback_makes_is_not_counted_as_a_step(when: int) -> None:
    pipeline = tiny("sd")

    def look(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == when:
            rows, prompts = tensors["latents"].repeat(2, 1, 1, 1), tensors["prompt_embeds"]
            pipe.unet(rows, timestep, encoder_hidden_states=prompts)
        return tensors

    more = {"callback_on_step_end_tensor_inputs": ["latents", "prompt_embeds"]}
    with applied(pipeline, setting(("tome",)).accelerators) as generate:
        assert same(drawn(generate, callback_on_step_end=look, **more), drawn(generate))


def test_several_steps_for_one_timestep_are_detected_by_its_value_as_well() -> None:
    class Twice(StableDiffusionPipeline):  # type: ignore[misc]
        """Draws two views in turn: two passes and two steps for each timestep."""

        def __call__(self, *, num_inference_steps: int, **others: Any) -> None:
            self.scheduler.set_timesteps(num_inference_steps)
            latents, prompt = torch.zeros(1, 4, 8, 8), torch.zeros(1, 16, WIDTH)
            for index in range(num_inference_steps):
                for _ in range(2):
                    moment = self.scheduler.timesteps[index]  # another tensor each time
                    noise = self.unet(latents, moment, encoder_hidden_states=prompt).sample
                    self.scheduler.step(noise, moment, latents)

    pipeline = relative("StableDiffusionPipeline", "sd")
    pipeline.__class__ = Twice
    with (
        applied(pipeline, setting(("deepcache",)).accelerators) as generate,
        pytest.raises(UnfitError, match="takes several scheduler steps"),
    ):
        generate(num_inference_steps=3)


@pytest.mark.parametrize("kind", [int, float, torch.tensor])
def test_a_timestep_that_a_scheduler_lists_twice_is_not_refused(kind: Any) -> None:
    pipeline = tiny("sd")
    pipeline.scheduler.timesteps = torch.tensor([9, 5, 5, 1])
    counter = PassCounter(pipeline, Generation(), setting(("deepcache",)).accelerators)
    for moment in (9, 5, 5, 1):
        counter._see_step(kind(moment))


def test_without_accelerators_anything_may_run() -> None:
    pipeline = new("sd3")
    expected = drawn(pipeline, skip_guidance_layers=[1])
    with applied(pipeline, ()) as generate:
        assert same(drawn(generate, skip_guidance_layers=[1]), expected)


def cut(family: str, step: int) -> Any:
    kinds = {"sd": SDCFGCutoffCallback, "sdxl": SDXLCFGCutoffCallback, "sd3": SD3CFGCutoffCallback}
    return kinds[family](cutoff_step_ratio=None, cutoff_step_index=step)


@pytest.mark.parametrize("family", [*UNETS, "sd3"])
def test_after_guidance_ended_during_a_call_nothing_of_the_larger_batch_is_used(
    family: str,
) -> None:
    pipeline = tiny(family)
    ends = {"callback_on_step_end": cut(family, 3), "num_inference_steps": 6}
    expected = drawn(pipeline, **ends)
    for name in KNOWN:
        if name not in ("tgate", "fastercache") and fits((name,), family):
            with applied(pipeline, neutral((name,)).accelerators) as generate:
                assert same(drawn(generate, **ends), expected), name
            with applied(pipeline, setting((name,)).accelerators) as generate:
                assert drawn(generate, **ends).shape == expected.shape


def test_deepcache_makes_a_full_pass_where_the_batch_changes() -> None:
    pipeline = tiny("sd")
    full: list[str] = []
    rare = DeepCache(cache_interval=1000, cache_branch_id=0)
    with applied(pipeline, (rare,)) as generate:
        hooks = [
            pipeline.unet.register_forward_pre_hook(lambda *_: full.append(".")),
            pipeline.unet.mid_block.resnets[0].register_forward_pre_hook(
                lambda *_: full.__setitem__(-1, "#")
            ),
        ]
        drawn(generate, callback_on_step_end=cut("sd", 3))
        for hook in hooks:
            hook.remove()
    assert "".join(full) == "#...#..."


@pytest.mark.parametrize("branch", [7, 10])  # the first block that runs is FreeU's second or first
def test_freeu_scales_the_features_that_deepcache_stores_only_once(
    branch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[list[torch.Tensor]] = []

    def noting(index: int, features: Any, *args: Any, **kwargs: Any) -> Any:
        entered[-1].append(features.clone())
        return apply_freeu(index, features, *args, **kwargs)

    monkeypatch.setattr(unet_2d_blocks, "apply_freeu", noting)
    pipeline = new("sd")
    pipeline.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6)
    pipeline.unet.register_forward_pre_hook(lambda *_: entered.append([]))
    with applied(pipeline, (DeepCache(cache_interval=1000, cache_branch_id=branch),)) as generate:
        drawn(generate)
    _, first, *others = entered
    assert len(others) == 6
    assert all(torch.equal(features[0], first[0]) for features in others)


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_tgate_with_a_callback_that_ends_guidance_is_right_or_refused(family: str) -> None:
    pipeline = tiny(family)
    ends = {"callback_on_step_end": cut(family, 3)}
    expected = drawn(pipeline, **ends)
    strong, nothing = TGate(**STRONG["tgate"]), TGate(**TGate.neutral)  # type: ignore[arg-type]
    refused(pipeline, strong, **ends)
    if family == "sd":
        with applied(pipeline, (nothing,)) as generate:
            assert same(drawn(generate, **ends), expected)
    else:
        refused(pipeline, nothing, **ends)


def refused(pipeline: Any, accelerator: Accelerator, **more: Any) -> None:
    with applied(pipeline, (accelerator,)) as generate:
        with pytest.raises(UnfitError, match="leave the callback out") as refusal:
            drawn(generate, **more)
        assert "\n" not in str(refusal.value)


def test_tgate_refuses_a_callback_that_exchanges_the_prompt_but_not_one_that_reads_it() -> None:
    pipeline = tiny("sd")

    def exchange(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return {"prompt_embeds": tensors["prompt_embeds"] * 2} if step == 2 else tensors

    def read(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return tensors

    accelerator = TGate(**STRONG["tgate"])  # type: ignore[arg-type]
    more = {"callback_on_step_end_tensor_inputs": ["latents", "prompt_embeds"]}
    refused(pipeline, accelerator, callback_on_step_end=exchange, **more)
    with applied(pipeline, (accelerator,)) as generate:
        assert same(drawn(generate, callback_on_step_end=read, **more), drawn(generate))


def test_fastercache_refuses_a_callback_that_ends_guidance() -> None:
    with (
        applied(tiny("sd3"), setting(("fastercache",)).accelerators) as generate,
        pytest.raises(UnfitError, match="the batch of step 4 is different"),
    ):
        drawn(generate, callback_on_step_end=cut("sd3", 3))
