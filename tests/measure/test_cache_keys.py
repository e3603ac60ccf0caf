"""Keys and payloads of stored baselines never change, byte for byte: old databases stay valid."""

import json

from tests.helpers.pipelines import tiny
from tuner.measure.baseline_store import BaselineLatency, BaselineScores, payload_of
from tuner.measure.batch_generator import prompt_seed
from tuner.measure.cache_keys import key_of, prompts_part, score_parts, timed_parts
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


def test_a_square_size_is_one_number_and_a_negative_prompt_a_part_only_if_given() -> None:
    evaluation = {
        "device": "cpu",
        "steps": 4,
        "guidance_scale": 7.5,
        "prompts": ["a red ring"],
        "seed": 42,
        "metric": "clip",
    }
    square = score_parts(tiny("sd"), size=Size(512, 512), **evaluation)
    assert square["resolution"] == 512
    assert "negative_prompt" not in square
    tall = score_parts(tiny("sd"), size=Size(1216, 832), negative_prompt="blurry", **evaluation)
    assert {name for name in tall if square.get(name) != tall[name]} == {
        "resolution",
        "negative_prompt",
    }
    assert (tall["resolution"], tall["negative_prompt"]) == ("832x1216", "blurry")


def test_payloads_never_change() -> None:
    scores = BaselineScores(scores=[1.5], digests=["0123456789ab"])
    assert json.dumps(payload_of(scores)) == '{"scores": [1.5], "digests": ["0123456789ab"]}'
    latency = BaselineLatency(batch_seconds=[2.0], batch_size=4, memory={"device": None})
    assert json.dumps(payload_of(latency)) == (
        '{"batch_seconds": [2.0], "batch_size": 4, "denoising_seconds": [], '
        '"memory": {"device": null}}'
    )
