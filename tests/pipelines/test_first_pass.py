"""The size of what a call draws, from a call that ends before the denoiser runs."""

import pytest

from tests.helpers.pipelines import tiny
from tests.helpers.production import make_call, make_pipeline, picture
from tests.helpers.relatives import SIDE, relative
from tuner.errors import UsageError
from tuner.pipelines.call_arguments import CallArguments
from tuner.pipelines.first_pass import drawn_size
from tuner.size import Size

PROMPT = {"prompt": ["a red circle"]}


def test_the_size_is_that_of_the_call_or_of_the_picture_that_it_starts_from() -> None:
    assert drawn_size(tiny("sd"), PROMPT | {"height": 24, "width": 16}) == Size(24, 16)
    assert drawn_size(tiny("sd"), PROMPT) == Size(SIDE, SIDE)  # that of the U-Net
    image_to_image = relative("StableDiffusionImg2ImgPipeline", "sd")
    wide = picture(0).resize((32, 16))
    assert drawn_size(image_to_image, PROMPT | {"image": wide}) == Size(16, 32)
    call = CallArguments.of(make_call(), 4).of_batch([0])
    assert drawn_size(make_pipeline(), PROMPT | call) == Size(SIDE, SIDE)


def test_the_size_of_pictures_that_are_tokens_in_a_row_is_that_of_the_call() -> None:
    call = PROMPT | {"height": 16, "width": 32, "max_sequence_length": 16}
    assert drawn_size(tiny("flux"), call) == Size(16, 32)


def test_a_call_that_fails_is_one_line_and_leaves_no_hook() -> None:
    pipeline = relative("StableDiffusionImg2ImgPipeline", "sd")
    with pytest.raises(
        UsageError,
        match=r"^StableDiffusionImg2ImgPipeline cannot be called like this: Val",
    ):
        drawn_size(pipeline, PROMPT)  # without a picture
    assert not pipeline.unet._forward_pre_hooks
    assert drawn_size(pipeline, PROMPT | {"image": picture(0)})
    assert not pipeline.unet._forward_pre_hooks
