"""The arguments of a study's call: one value for all prompts or for each, batches, digests."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tuner.errors import UsageError
from tuner.pipelines.call_arguments import CallArguments, in_json, text_to_image
from tuner.size import Size

RED, BLUE = (Image.new("RGB", (8, 8), color) for color in ("red", "blue"))


def test_a_list_as_long_as_the_prompts_is_one_value_for_each() -> None:
    call = CallArguments.of({"image": [RED, BLUE], "strength": 0.5, "mask_image": RED}, 2)
    assert call.common == {"strength": 0.5, "mask_image": RED}
    assert call.each == {"image": (RED, BLUE)}


@pytest.mark.parametrize(
    ("arguments", "prompts", "words"),
    [
        ({"image": [RED] * 3}, 4, "image has 3 values for 4 prompts; give one value for all"),
        ({"negative_prompt": ["a"]}, 2, "negative_prompt has 1 values for 2 prompts"),
        (
            {"image": [RED] * 3},
            None,
            "so set prompts to a list or a file too, or give one value for all",
        ),
    ],
)
def test_a_list_of_another_length_is_refused(
    arguments: dict[str, Any], prompts: int | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        CallArguments.of(arguments, prompts)


@pytest.mark.parametrize("name", ["timesteps", "sigmas", "controlnet_conditioning_scale"])
def test_a_list_that_is_no_text_or_picture_is_one_value_even_if_as_long_as_the_prompts(
    name: str,
) -> None:
    assert CallArguments.of({name: [1.0, 0.5]}, 2).common == {name: [1.0, 0.5]}


def test_a_list_for_several_controlnets_is_one_value_and_a_list_of_lists_one_for_each() -> None:
    one = CallArguments.of({"image": [RED, BLUE]}, 2, ["image"])
    assert one.common == {"image": [RED, BLUE]}
    each = CallArguments.of({"image": [[RED, BLUE], [BLUE, RED]]}, 2, ["image"])
    assert each.of_batch([1]) == {"image": [[BLUE, RED]]}


def test_a_batch_gets_the_values_of_its_prompts_and_its_texts_repeated() -> None:
    call = CallArguments.of({"image": [RED, BLUE, RED, BLUE], "negative_prompt": "blurry"}, 4)
    chosen = call.chosen([1, 3, 0])  # as prompts are chosen for searching or verifying
    assert chosen.of_batch(range(1, 3)) == {
        "image": [BLUE, RED],
        "negative_prompt": ["blurry", "blurry"],
    }


def test_pictures_of_an_ip_adapter_that_differ_by_prompt_need_batches_of_one() -> None:
    call = CallArguments.of({"ip_adapter_image": [RED, BLUE]}, 2)
    call.check_batches(1)
    assert call.of_batch([1]) == {"ip_adapter_image": BLUE}
    with pytest.raises(UsageError, match="one ip_adapter_image for a whole batch; set batch_size"):
        call.check_batches(2)
    CallArguments.of({"ip_adapter_image": RED}, 2).check_batches(2)


def test_a_known_models_call_has_nothing_that_is_not_named_apart() -> None:
    call = text_to_image(steps=20, guidance_scale=3.0, size=Size(64, 32), negative_prompt="blurry")
    assert call.described(20) == {}
    assert call.described(12) == {"num_inference_steps": 20}  # of which fewer run


def test_the_description_tells_values_apart_and_equal_values_not() -> None:
    described = [
        CallArguments.of({"image": value}, None).described(4)["image"]
        for value in (RED, RED.copy(), BLUE, np.asarray(RED), torch.zeros(3, 8, 8))
    ]
    assert described[0] == described[1]
    assert len(set(described)) == 4
    each = CallArguments.of({"image": [RED, BLUE]}, 2)
    assert each.described_each([0]) == CallArguments.of({"image": [RED]}, 1).described_each([0])
    assert each.described_each([0]) != each.described_each([1])
    assert CallArguments().described_each([0]) is None


def test_a_value_that_cannot_be_told_from_another_is_refused() -> None:
    assert in_json("sigmas", (1.0, 0.5)) == [1.0, 0.5]
    assert in_json("cross_attention_kwargs", {"scale": 0.5}) == {"scale": 0.5}
    with pytest.raises(UsageError, match="guider has the type object, and the tuner cannot tell"):
        in_json("guider", object())
