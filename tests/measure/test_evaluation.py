"""Measuring: the same numbers twice, whatever ran before, under keys that tell all apart."""

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
from tuner.measure.baseline import key_of
from tuner.measure.evaluation import Evaluation, prompt_seed
from tuner.measure.stopwatch import Seconds
from tuner.setting import Setting
from tuner.storage.database import Storage

pytestmark = pytest.mark.usefixtures("ticking")  # or a busy machine would tell another latency

EACH = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.combination)


@pytest.fixture(scope="module")
def exact(evaluation: Evaluation) -> Evaluation:
    """The same in float64, where the order of a sum flips no decision."""
    pipeline = tuner.load("miniature", scheduler="DDIM", device="cpu")
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.double()
    return replace(evaluation, pipeline=pipeline)


@pytest.fixture(scope="module")
def in_pairs(exact: Evaluation) -> Callable[[Setting], torch.Tensor]:
    """The exact pictures of a setting in batches of two, generated once."""
    return cache(lambda setting: generated(exact, setting))


@EACH
def test_a_trial_gives_the_same_scores_twice_bit_for_bit(
    setting: Setting, evaluation: Evaluation, store: Storage
) -> None:
    one, other = (list(evaluation.measure(setting, store))[-1] for _ in range(2))
    assert one.scores == other.scores
    assert one.score_loss == other.score_loss
    assert one.prompts == other.prompts == 4
    assert one.same_pictures == (not setting.accelerators)


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
    found = generated(replace(exact, batch_size=size), setting)
    assert torch.isfinite(expected).all()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_another_seed_or_prompt_gives_another_picture(evaluation: Evaluation) -> None:
    short = replace(evaluation, prompts=evaluation.prompts[:2])
    pictures = generated(short, Setting())
    assert not torch.equal(pictures[0], pictures[1])
    assert not torch.equal(generated(replace(short, seed=7), Setting()), pictures)


def test_what_is_known_grows_with_each_batch(evaluation: Evaluation, store: Storage) -> None:
    timed = replace(evaluation, timing_pairs=3, most_pairs=3)
    steps = list(timed.measure(SETTINGS[1], store))
    assert [one.prompts for one in steps] == [2, 4]
    last = steps[-1]
    assert len(last.scores) == 4
    assert steps[0].scores in (last.scores[:2], last.scores[2:])  # batches come in any order
    assert last.score == pytest.approx(np.mean(last.scores))
    before, latency = timed.baseline(store)  # as the last step may have found it anew
    assert last.score_loss == statistics.score_loss(before.scores, last.scores)
    assert last.baseline_s == latency.latency_s
    assert last.baseline_denoising_s == latency.denoising_s
    assert last.latency_key == key_of(timed.latency_parts)
    assert len(last.ratios) == 3


def test_what_a_setting_takes_is_told_in_images(evaluation: Evaluation) -> None:
    assert evaluation.least_images == 8  # a warm-up of 2, 4 prompts, and 2 without the setting
    # Three pairs of 2 by turns, of which one is of no new prompts.
    assert replace(evaluation, timing_pairs=3).least_images == 14


def test_the_baseline_as_a_setting_loses_nothing_and_is_not_generated(
    evaluation: Evaluation, store: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation.baseline(store)
    monkeypatch.setattr(Evaluation, "generate", None)
    (only,) = evaluation.measure(Setting(), store)
    assert (only.speedup.value, only.score_loss.value, only.same_pictures) == (1, 0, True)


def test_memory_is_kept_of_a_setting_and_of_the_baseline(
    evaluation: Evaluation, store: Storage
) -> None:
    *_, last = evaluation.measure(SETTINGS[1], store)
    (baseline,) = evaluation.measure(Setting(), store)
    whole = psutil.virtual_memory().total / 2**30
    for one in (last, baseline):
        assert one.memory.device is None  # a CPU has none of its own
        assert one.memory.host is not None
        assert 0.1 < one.memory.host < whole


def test_every_prompt_has_noise_of_its_own() -> None:
    seeds = {prompt_seed(seed, number) for seed in (0, 1, 42) for number in range(500)}
    assert len(seeds) == 1500
    assert prompt_seed(42, 3) == prompt_seed(42, 3)


NOTHING = Setting.of({"tome": {"ratio": 0.0, "max_downsample": 1}})


def test_a_setting_that_changes_nothing_is_named(evaluation: Evaluation, store: Storage) -> None:
    *_, last = evaluation.measure(NOTHING, store)
    assert last.same_pictures
    assert last.note is not None
    assert last.note.split("; ")[0] == "the pictures are the baseline's, byte for byte"


@pytest.mark.parametrize(("fused", "reason"), [(True, "fused attention"), (False, None)])
def test_a_slowdown_is_named_with_its_reason(
    fused: bool, reason: str | None, evaluation: Evaluation, store: Storage
) -> None:
    unet = evaluation.pipeline.unet
    kept = unet.attn_processors
    unet.set_attn_processor(AttnProcessor2_0() if fused else AttnProcessor())
    try:
        *_, last = slowed(evaluation).measure(SETTINGS[2], store)
    finally:
        unet.set_attn_processor(kept)
    assert last.speedup.value < 1
    assert last.note is not None and last.note.startswith("slower than the baseline")
    assert ("fused attention" in last.note) == (reason is not None)


def slowed(evaluation: Evaluation) -> Evaluation:
    """The same, on a machine that takes its time whenever an accelerator is on."""

    @dataclass(frozen=True, kw_only=True)
    class Slow(Evaluation):
        def _one(
            self, setting: Setting, numbers: range, *turn: Any, **where: Any
        ) -> tuple[torch.Tensor, Seconds]:
            output, took = super()._one(setting, numbers, *turn, **where)
            return output, replace(took, whole=took.whole + (10 if setting.accelerators else 0))

    return Slow(**{one.name: getattr(evaluation, one.name) for one in fields(evaluation)})


def test_more_prompts_go_on_where_the_first_ones_end(compared: Evaluation, store: Storage) -> None:
    first, more = compared.prompts[:2], compared.prompts[2:]
    split = replace(compared, prompts=first, more=more)
    *_, whole = compared.measure(SETTINGS[1], store)
    steps = list(split.measure(SETTINGS[1], store))
    assert [one.prompts for one in steps] == [2, 4]
    assert (steps[-1].scores, steps[-1].score_loss) == (whole.scores, whole.score_loss)
    assert steps[-1].fidelity == whole.fidelity
    assert key_of(split.score_parts) == key_of(replace(compared, prompts=first).score_parts)
    kept = [parts for kind, parts in store_rows(store) if kind == "scores"]
    list(split.measure(SETTINGS[2], store))  # another setting needs no new baseline
    assert [parts for kind, parts in store_rows(store) if kind == "scores"] == kept


def store_rows(store: Storage) -> list[tuple[str, str]]:
    """The kinds and keys of what a store keeps."""
    with store.engine.connect() as connection:
        found = connection.execute(text("SELECT kind, key FROM tuner_baselines ORDER BY created"))
        return [(kind, key) for kind, key in found]


def test_prompts_are_drawn_anew_for_each_setting_and_the_first_batch_is_among_them(
    evaluation: Evaluation, store: Storage
) -> None:
    texts = [f"{text}, {number}" for number in range(8) for text in evaluation.prompts[:1]]
    offered = replace(evaluation, prompts=texts[:4], more=texts[4:], timing_pairs=1, most_pairs=1)
    found = {}
    for setting in (SETTINGS[1], SETTINGS[-1]):
        half, *_, whole = last_of_each(offered, setting, store)
        assert {0, 1} < set(half.numbers) < set(whole.numbers) == set(range(8))
        *_, same = offered.measure(setting, store)  # the first prompts, then the others
        assert same.scores == whole.scores
        assert half.scores == [whole.scores[number] for number in half.numbers]
        before, _ = offered.baseline(store)
        assert half.score == pytest.approx(
            (1 - half.score_loss.value) * sum(before.scores) / len(before.scores)
        )
        found[setting] = tuple(half.numbers)
    assert len(set(found.values())) > 1


def test_a_broken_picture_of_the_baseline_is_not_blamed_on_the_setting(
    evaluation: Evaluation, store: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = replace(evaluation, prompts=evaluation.prompts[:2], more=evaluation.prompts[2:])
    one = Evaluation._one

    def black(self: Evaluation, setting: Setting, numbers: range, *turn: Any, **where: Any) -> Any:
        images, seconds = one(self, setting, numbers, *turn, **where)
        return (images * 0 if numbers.start and not setting.accelerators else images), seconds

    monkeypatch.setattr(Evaluation, "_one", black)
    words = "the baseline's picture 0 of the batch is black; --max-samples 2 leaves"
    with pytest.raises(BadPictureError, match=words):
        list(split.measure(SETTINGS[1], store))


def last_of_each(evaluation: Evaluation, setting: Setting, store: Storage) -> list[Any]:
    """What is known of drawn prompts after each further batch, from half of them on."""
    found = {one.prompts: one for one in evaluation.measure(setting, store, drawn=True)}
    return [one for prompts, one in found.items() if prompts >= len(evaluation.prompts)]
