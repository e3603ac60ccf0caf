"""The baseline: stored with its pictures, under a key of everything that changes it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import tuner
from tests.measure.generation import generated
from tuner.errors import UsageError
from tuner.measure import device as machine
from tuner.measure.baseline_store import BaselineLatency
from tuner.measure.cache_keys import changes, key_of
from tuner.measure.evaluation import Evaluation
from tuner.measure.pictures import checked
from tuner.setting import Setting
from tuner.size import Size
from tuner.storage.database import Storage

pytestmark = pytest.mark.usefixtures("ticking")  # a busy machine would change the latencies


def test_a_baseline_is_stored_under_everything_that_changes_it(evaluation: Evaluation) -> None:
    def keys(changed: Evaluation) -> tuple[str, str]:
        return key_of(changed.score_parts), key_of(changed.latency_parts)

    call = evaluation.call
    scores, latency = keys(evaluation)
    assert keys(replace(evaluation)) == (scores, latency)
    for change, same_scores, same_latency in (
        ({"batch_size": 3}, True, False),
        ({"seed": 7}, False, True),
        ({"prompts": ["a red ring", "a blue ring"]}, False, True),
        ({"steps": 5}, False, False),
        ({"call": call.changed(guidance_scale=2.0)}, False, False),
        ({"size": Size(128, 64)}, False, False),
        ({"call": call.changed(negative_prompt="blurry")}, False, False),
        ({"call": call.changed(eta=0.5)}, False, False),
        ({"call": replace(call, each={"negative_prompt": ["a", "b", "c", "d"]})}, False, True),
    ):
        new_scores, new_latency = keys(replace(evaluation, **change))
        assert (new_scores == scores, new_latency == latency) == (same_scores, same_latency), change


def test_the_key_depends_on_weights_scheduler_precision_machine_and_packages(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parts(changed: Evaluation) -> dict[str, Any]:
        return changed.score_parts | changed.latency_parts

    def change(pipeline: Any) -> list[str]:
        lines = changes(before, parts(replace(evaluation, pipeline=pipeline)))
        return [line.split()[0] for line in lines]

    before = parts(replace(evaluation))
    other = tuner.load("miniature", scheduler="DDIM", device="cpu")
    assert change(other) == []
    other.scheduler.register_to_config(beta_end=0.5)
    assert change(other) == ["beta_end"]
    other = tuner.load("miniature", scheduler="UniPC", device="cpu")
    assert "class" in change(other)
    other = tuner.load("miniature", scheduler="DDIM", device="cpu", dtype="bfloat16")
    assert change(other) == ["weights", "dtype"]
    other = tuner.load("miniature", scheduler="DDIM", device="cpu")
    with torch.no_grad():
        other.vae.decoder.conv_out.bias += 0.1
    assert change(other) == ["weights"]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(machine, "version", lambda package: f"7 of {package}")
    assert set(change(evaluation.pipeline)) == {"threads", *before["versions"]}
    assert set(before["versions"]) >= {"torch", "diffusers", "open_clip_torch", "torchvision"}


def test_changes_between_baselines_are_reported_with_both_values() -> None:
    before = {"steps": 4, "versions": {"torch": "2.14.0", "diffusers": "0.42.1"}, "threads": 1}
    now = {"steps": 4, "versions": {"torch": "2.15.0", "diffusers": "0.42.1"}, "driver": "580.1"}
    assert changes(before, now) == [
        "torch 2.14.0 -> 2.15.0",
        "threads 1 -> none",
        "driver none -> 580.1",
    ]
    assert changes(now, dict(reversed(now.items()))) == []
    assert changes({"betas": [1, 2]}, {"betas": (1, 2)}) == []  # JSON has no tuples


class Zero:
    """A metric that scores every picture zero."""

    identity = "zero"

    def score(self, images: list[Any], prompts: list[str]) -> list[float]:
        return [0.0 for _ in images]


def test_a_baseline_that_scores_zero_is_an_error_of_the_users_input(
    evaluation: Evaluation, store: Storage
) -> None:
    scored_zero = replace(evaluation, metric=Zero(), prompts=evaluation.prompts[:2])
    with pytest.raises(UsageError, match=r"mean score is 0\.00"):
        scored_zero.baseline(store)
    assert store.get("scores", key_of(scored_zero.score_parts)) is None


def test_the_baselines_pictures_are_stored_and_not_generated_again(
    compared: Evaluation, store: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared.baseline(store)
    reference = compared.reference(Storage(store.url, create=False))
    assert reference.complete
    stored = [picture for batch in compared.batches() for picture in reference.pictures(batch)]
    for picture, expected in zip(stored, checked(generated(compared, Setting())), strict=True):
        assert np.array_equal(np.asarray(picture), np.asarray(expected))
    assert 0 < reference.size < 4 * 64 * 64 * 3 * 4 / 3
    monkeypatch.setattr(Evaluation, "generate", None)
    compared.baseline(Storage(store.url, create=False))


def test_the_pictures_of_an_interrupted_baseline_do_not_count_as_complete(
    evaluation: Evaluation, compared: Evaluation, store: Storage
) -> None:
    def interrupted(numbers: range, images: list[Any]) -> None:
        raise KeyboardInterrupt

    evaluation.baseline(store)
    pictures_only = replace(compared, extra_metrics=compared.extra_metrics[1:])
    with pytest.raises(KeyboardInterrupt):
        pictures_only.baseline(store, on_pictures=interrupted)
    assert len(pictures_only.reference(store).pictures(range(4))) == 2  # the first batch's
    assert not pictures_only.reference(store).complete
    pictures_only.baseline(store)
    assert pictures_only.reference(store).complete


def test_latency_is_the_median_batch_per_picture() -> None:
    assert BaselineLatency(batch_seconds=[4.0, 1.0, 2.0], batch_size=2).latency_s == 1.0
    assert BaselineLatency(batch_seconds=[4.0, 2.0], batch_size=1).latency_s == 3.0
