"""Measuring: the same scores twice, whatever ran before, and batches in a fixed order."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from sqlalchemy import text

import tuner
from tests.measure.generation import SETTINGS, generated
from tuner.errors import BadPictureError
from tuner.measure import statistics
from tuner.measure.batch_generator import prompt_seed
from tuner.measure.cache_keys import key_of
from tuner.measure.evaluation import Evaluation
from tuner.measure.stopwatch import Seconds
from tuner.setting import Setting
from tuner.storage.database import Storage

pytestmark = pytest.mark.usefixtures("ticking")  # a busy machine would change the latencies

EACH = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.combination)


@pytest.fixture(scope="module")
def exact(evaluation: Evaluation) -> Evaluation:
    """The same in float64, where the order of summation changes no decision."""
    pipeline = tuner.load("miniature", scheduler="DDIM", device="cpu")
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.double()
    return replace(evaluation, pipeline=pipeline)


@pytest.fixture(scope="module")
def in_pairs(exact: Evaluation) -> Callable[[Setting], torch.Tensor]:
    """The float64 pictures of a setting in batches of two, generated once."""
    return cache(lambda setting: generated(exact, setting))


@EACH
def test_a_trial_gives_the_same_scores_twice_bit_for_bit(
    setting: Setting, evaluation: Evaluation, store: Storage
) -> None:
    first, second = (list(evaluation.measure(setting, store))[-1] for _ in range(2))
    assert first.scores == second.scores
    assert first.score_loss == second.score_loss
    assert first.prompts == second.prompts == 4
    assert first.same_pictures == (not setting.accelerators)


@EACH
def test_pictures_do_not_depend_on_what_ran_before(
    setting: Setting, evaluation: Evaluation
) -> None:
    short = replace(evaluation, prompts=evaluation.prompts[:2])
    first = generated(short, setting)
    for other in SETTINGS[1:]:
        generated(short, other)
    assert torch.equal(generated(short, setting), first)


@EACH
@pytest.mark.parametrize("size", [1, 3, 4])
def test_pictures_do_not_depend_on_the_batch_size(
    size: int, setting: Setting, exact: Evaluation, in_pairs: Callable[[Setting], torch.Tensor]
) -> None:
    expected = in_pairs(setting)
    pictures = generated(replace(exact, batch_size=size), setting)
    assert torch.isfinite(expected).all()
    torch.testing.assert_close(pictures, expected, rtol=0, atol=1e-6)


def test_another_seed_or_prompt_gives_another_picture(evaluation: Evaluation) -> None:
    short = replace(evaluation, prompts=evaluation.prompts[:2])
    pictures = generated(short, Setting())
    assert not torch.equal(pictures[0], pictures[1])
    assert not torch.equal(generated(replace(short, seed=7), Setting()), pictures)


def test_a_measurement_is_yielded_after_each_batch(evaluation: Evaluation, store: Storage) -> None:
    timed = replace(evaluation, timing_pairs=3, most_pairs=3)
    steps = list(timed.measure(SETTINGS[1], store))
    assert [step.prompts for step in steps] == [2, 4]
    last = steps[-1]
    assert len(last.scores) == 4
    assert steps[0].scores in (last.scores[:2], last.scores[2:])  # batches come in any order
    assert last.score == pytest.approx(np.mean(last.scores))
    before, latency = timed.baseline(store)  # which the last step may have replaced
    assert last.score_loss == statistics.score_loss(before.scores, last.scores)
    assert last.baseline_s == latency.latency_s
    assert last.baseline_denoising_s == latency.denoising_s
    assert last.latency_key == key_of(timed.latency_parts)
    assert len(last.ratios) == 3


def test_the_least_number_of_images_of_a_setting(evaluation: Evaluation) -> None:
    assert evaluation.least_images == 8  # a warm-up of 2, 4 prompts, and 2 without the setting
    # A warm-up of 2, 4 prompts, the baseline's 3 batches, and a batch more for the third pair.
    assert replace(evaluation, timing_pairs=3).least_images == 14


def test_the_baseline_as_a_setting_loses_nothing_and_is_not_generated(
    evaluation: Evaluation, store: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation.baseline(store)
    monkeypatch.setattr(Evaluation, "generate", None)
    (only,) = evaluation.measure(Setting(), store)
    assert (only.speedup.value, only.score_loss.value, only.same_pictures) == (1, 0, True)


def test_peak_memory_is_measured_for_a_setting_and_for_the_baseline(
    evaluation: Evaluation, store: Storage
) -> None:
    *_, last = evaluation.measure(SETTINGS[1], store)
    (baseline,) = evaluation.measure(Setting(), store)
    whole = psutil.virtual_memory().total / 2**30
    for measurement in (last, baseline):
        assert measurement.memory.device is None  # a CPU has no memory of its own
        assert measurement.memory.host is not None
        assert 0.1 < measurement.memory.host < whole


def test_every_prompt_has_its_own_noise() -> None:
    seeds = {prompt_seed(seed, number) for seed in (0, 1, 42) for number in range(500)}
    assert len(seeds) == 1500
    assert prompt_seed(42, 3) == prompt_seed(42, 3)


NOTHING = Setting.of({"tome": {"ratio": 0.0, "max_downsample": 1}})


def test_a_setting_that_changes_nothing_gets_a_note(evaluation: Evaluation, store: Storage) -> None:
    *_, last = evaluation.measure(NOTHING, store)
    assert last.same_pictures
    assert last.note is not None
    assert (
        last.note.split("; ")[0]
        == "changes nothing: the pictures are the baseline's, byte for byte"
    )


@pytest.mark.parametrize(("fused", "reason"), [(True, "fused attention"), (False, None)])
def test_a_slowdown_is_noted_with_its_reason(
    fused: bool, reason: str | None, evaluation: Evaluation, store: Storage
) -> None:
    unet = evaluation.pipeline.unet
    original = unet.attn_processors
    unet.set_attn_processor(AttnProcessor2_0() if fused else AttnProcessor())
    try:
        *_, last = slowed(evaluation).measure(SETTINGS[2], store)
    finally:
        unet.set_attn_processor(original)
    assert last.speedup.value < 1
    assert last.note is not None and last.note.startswith("slower than the baseline")
    assert ("fused attention" in last.note) == (reason is not None)


def slowed(evaluation: Evaluation) -> Evaluation:
    """The same, with ten seconds added to every batch that is accelerated."""

    @dataclass(frozen=True, kw_only=True)
    class Slow(Evaluation):
        def generate_with(
            self, setting: Setting, numbers: range, *args: Any, **kwargs: Any
        ) -> tuple[torch.Tensor, Seconds]:
            output, seconds = super().generate_with(setting, numbers, *args, **kwargs)
            added = 10 if setting.accelerators else 0
            return output, replace(seconds, whole=seconds.whole + added)

    return Slow(**{field.name: getattr(evaluation, field.name) for field in fields(evaluation)})


def test_more_prompts_follow_the_first_ones(compared: Evaluation, store: Storage) -> None:
    first, more = compared.prompts[:2], compared.prompts[2:]
    split = replace(compared, prompts=first, more_prompts=more)
    *_, whole = compared.measure(SETTINGS[1], store)
    steps = list(split.measure(SETTINGS[1], store))
    assert [step.prompts for step in steps] == [2, 4]
    assert (steps[-1].scores, steps[-1].score_loss) == (whole.scores, whole.score_loss)
    assert steps[-1].fidelity == whole.fidelity
    assert key_of(split.score_parts) == key_of(replace(compared, prompts=first).score_parts)
    keys = [key for kind, key in store_rows(store) if kind == "scores"]
    list(split.measure(SETTINGS[2], store))  # another setting needs no new baseline
    assert [key for kind, key in store_rows(store) if kind == "scores"] == keys


def store_rows(store: Storage) -> list[tuple[str, str]]:
    """The kinds and keys of everything that is stored."""
    with store.engine.connect() as connection:
        rows = connection.execute(text("SELECT kind, key FROM tuner_baselines ORDER BY created"))
        return [(kind, key) for kind, key in rows]


def test_each_setting_draws_its_own_prompts_and_always_the_first_batch(
    evaluation: Evaluation, store: Storage
) -> None:
    texts = [f"{text}, {number}" for number in range(8) for text in evaluation.prompts[:1]]
    changes = {"prompts": texts[:4], "more_prompts": texts[4:]}
    offered = replace(evaluation, **changes, timing_pairs=1, most_pairs=1)
    drawn = set()
    for setting in (SETTINGS[1], SETTINGS[-1]):
        half, *_, whole = last_of_each(offered, setting, store)
        assert {0, 1} < set(half.numbers) < set(whole.numbers) == set(range(8))
        *_, in_order = offered.measure(setting, store)  # the first prompts, then the others
        assert in_order.scores == whole.scores
        assert half.scores == [whole.scores[number] for number in half.numbers]
        before, _ = offered.baseline(store)
        assert half.score == pytest.approx(
            (1 - half.score_loss.value) * sum(before.scores) / len(before.scores)
        )
        drawn.add(tuple(half.numbers))
    assert len(drawn) > 1


def test_the_error_of_a_broken_picture_of_the_baseline_says_so(
    evaluation: Evaluation, store: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, more = evaluation.prompts[:2], evaluation.prompts[2:]
    split = replace(evaluation, prompts=first, more_prompts=more)
    generate_with = Evaluation.generate_with

    def black(self: Evaluation, setting: Setting, numbers: range, *args: Any, **kwargs: Any) -> Any:
        images, seconds = generate_with(self, setting, numbers, *args, **kwargs)
        return (images * 0 if numbers.start and not setting.accelerators else images), seconds

    monkeypatch.setattr(Evaluation, "generate_with", black)
    words = "the baseline's picture 0 of the batch is black; max_samples = 2 leaves out this batch"
    with pytest.raises(BadPictureError, match=words):
        list(split.measure(SETTINGS[1], store))


def last_of_each(evaluation: Evaluation, setting: Setting, store: Storage) -> list[Any]:
    """The measurements from the number of prompts of every setting on."""
    by_count = {step.prompts: step for step in evaluation.measure(setting, store, drawn=True)}
    return [step for count, step in by_count.items() if count >= len(evaluation.prompts)]


def test_pairs_that_nothing_else_needs_are_timed_once_no_more_prompts_are_needed(
    evaluation: Evaluation, store: Storage
) -> None:
    texts = [f"{text}, {number}" for number in range(3) for text in evaluation.prompts[:2]]
    changes = {"prompts": texts[:2], "more_prompts": texts[2:], "precision": -1.0}  # never precise
    timed = replace(evaluation, **changes, timing_pairs=1, most_pairs=4)

    def pairs(settled_at: int) -> list[tuple[int, int, bool]]:
        fresh = Storage(f"{store.engine.url}{settled_at}")  # has the baseline of no prompt
        measurements = timed.measure(
            SETTINGS[1], fresh, settled=lambda measured, _: measured.prompts >= settled_at
        )
        return [(step.prompts, len(step.ratios), step.timed) for step in measurements]

    assert pairs(4) == [(2, 1, False), (4, 2, False), (4, 4, True), (6, 5, True)]
    assert pairs(99) == [(2, 1, False), (4, 2, False), (6, 3, False), (6, 4, True)]
