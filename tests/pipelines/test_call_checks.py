"""Which arguments a study can call a pipeline with."""

from pathlib import Path
from typing import Any

import pytest
from diffusers import StableDiffusionPipeline
from PIL import Image

from tests.helpers.pipelines import tiny
from tests.helpers.relatives import relative
from tuner.errors import UsageError
from tuner.pipelines.call_checks import call_parameters, checked_arguments, lists_of


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("num_inference_step", "has no argument 'num_inference_step'; did you mean num_inference_"),
        ("steps", "did you mean num_inference_steps"),
        ("strength", "has no argument 'strength'; it has height, width, num_inference_steps"),
        ("prompt", "leave prompt out of the call: set prompts instead"),
        ("generator", "leave generator out of the call: each prompt has noise of its own"),
        ("num_images_per_prompt", "use batch_size"),
    ],
)
def test_an_argument_that_no_study_can_pass_is_refused(argument: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        checked_arguments(tiny("sd"), {argument: 3})
    assert raised.value.key == ("call", argument)


def test_defaults_and_the_form_of_the_output_are_left_out() -> None:
    given = {"output_type": "pil", "eta": 0.0, "negative_prompt": None, "guidance_scale": 3.0}
    assert checked_arguments(tiny("sd"), given) == {"guidance_scale": 3.0}


def test_a_subclass_with_kwargs_has_the_arguments_of_its_base_class() -> None:
    class Own(StableDiffusionPipeline):
        def __call__(self, prompt: Any, *, tone: str = "warm", **others: Any) -> Any:
            return super().__call__(prompt, **others)

    pipeline = tiny("sd")
    own = Own(**pipeline.components, requires_safety_checker=False)
    defaults, takes_any = call_parameters(own)
    assert (defaults["tone"], defaults["guidance_scale"], takes_any) == ("warm", 7.5, False)
    assert checked_arguments(own, {"tone": "cold", "guidance_scale": 3.0})
    with pytest.raises(UsageError, match="Own has no argument 'ton'; did you mean tone"):
        checked_arguments(own, {"ton": "cold"})


def test_pictures_are_read_from_files(tmp_path: Path) -> None:
    pipeline = relative("StableDiffusionImg2ImgPipeline", "sd")
    Image.new("RGBA", (8, 8), "red").save(tmp_path / "a.png")
    path = str(tmp_path / "a.png")
    read = checked_arguments(pipeline, {"image": [path, path]})["image"]
    assert [(picture.mode, picture.size) for picture in read] == [("RGB", (8, 8))] * 2
    (tmp_path / "b.png").write_text("no picture")
    for name, words in (("no.png", "No such file or directory"), ("b.png", "it is no picture")):
        with pytest.raises(UsageError, match=f"cannot read image .*{name}: {words}"):
            checked_arguments(pipeline, {"image": tmp_path / name})


def test_a_pipeline_that_draws_no_pictures_from_prompts_is_refused() -> None:
    pipeline = tiny("sd")

    class Plain(StableDiffusionPipeline):
        def __call__(self, image: Any) -> Any:
            return image

    own = Plain(**pipeline.components, requires_safety_checker=False)
    with pytest.raises(UsageError, match="Plain does not draw pictures from prompts"):
        checked_arguments(own, {})


def test_one_picture_for_each_of_several_controlnets_is_one_value() -> None:
    from diffusers import ControlNetModel, MultiControlNetModel

    def net() -> Any:
        return ControlNetModel.from_unet(
            tiny("sd").unet, conditioning_embedding_out_channels=(4, 8)
        )

    one = relative("StableDiffusionControlNetPipeline", "sd", controlnet=net())
    assert lists_of(one) == []
    nets = MultiControlNetModel([net(), net()])
    two = relative("StableDiffusionControlNetPipeline", "sd", controlnet=nets)
    assert lists_of(two) == ["image"]
    both = relative("StableDiffusionControlNetImg2ImgPipeline", "sd", controlnet=nets)
    assert lists_of(both) == ["control_image"]
