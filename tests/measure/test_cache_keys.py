"""Keys and payloads of stored baselines never change, byte for byte: old databases stay valid."""

import json
from typing import Any

from tests.helpers.pipelines import tiny
from tuner.measure.baseline_store import BaselineLatency, BaselineScores, payload_of
from tuner.measure.batch_generator import prompt_seed
from tuner.measure.cache_keys import key_of, prompts_part, score_parts, timed_parts
from tuner.pipelines.call_arguments import CallArguments, text_to_image
from tuner.size import Size

PARTS = {
    "steps": 4,
    "prompts": "2 0123456789ab",
    "versions": {"torch": "2.14.0"},
    "guidance_scale": 7.5,
    "seed": 42,
}


def test_the_key_of_given_parts_never_changes() -> None:
    assert key_of(PARTS) == "d3daa0267985facc200b94d6"
    assert key_of(dict(reversed(PARTS.items()))) == "d3daa0267985facc200b94d6"
    assert sorted(timed_parts(PARTS)) == ["guidance_scale", "steps", "versions"]


def test_the_part_of_given_prompts_and_their_seeds_never_change() -> None:
    assert prompts_part(["a red ring", "a blue ring"]) == "2 abd22efef970"
    assert prompt_seed(42, 3) == 4660589121953230


def test_further_parts_stand_for_what_only_some_studies_have() -> None:
    plain = parts_of(text_to_image(steps=4, guidance_scale=7.5, size=Size(16, 16)))
    assert plain["resolution"] == 16
    assert not {"negative_prompt", "call", "call_of_each"} & set(plain)
    negative = text_to_image(
        steps=4, guidance_scale=7.5, size=Size(24, 16), negative_prompt="blurry"
    )
    tall = parts_of(negative, Size(24, 16))
    assert tall == plain | {"resolution": "16x24", "negative_prompt": "blurry"}
    own = CallArguments.of({"eta": 0.5, "negative_prompt": ["blurry"]}, 1)
    parts = parts_of(own)
    assert parts["call"] == {"eta": 0.5}
    assert parts["call_of_each"].startswith("negative_prompt ")
    assert "call_of_each" not in timed_parts(parts)
    assert timed_parts(parts)["call"] == {"eta": 0.5}


def parts_of(call: CallArguments, size: Size = Size(16, 16)) -> dict[str, Any]:  # noqa: B008
    return score_parts(
        tiny("sd"),
        size=size,
        call=call,
        device="cpu",
        steps=4,
        prompts=["a red ring"],
        seed=42,
        metric="clip",
    )


def test_payloads_never_change() -> None:
    scores = BaselineScores(scores=[1.5], digests=["0123456789ab"])
    assert json.dumps(payload_of(scores)) == '{"scores": [1.5], "digests": ["0123456789ab"]}'
    latency = BaselineLatency(batch_seconds=[2.0], batch_size=4, memory={"device": None})
    assert json.dumps(payload_of(latency)) == (
        '{"batch_seconds": [2.0], "batch_size": 4, "denoising_seconds": [], '
        '"memory": {"device": null}}'
    )
