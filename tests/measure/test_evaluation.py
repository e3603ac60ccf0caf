"""Measuring: reproducible figures, and a baseline stored under keys of all that changes it."""

import gc
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from sqlalchemy import text

import tuner
from tuner import registry
from tuner.applying.applied import applied
from tuner.errors import BadPictureError, UsageError
from tuner.measure import device as machine
from tuner.measure import statistics
from tuner.measure.baseline_store import BaselineLatency
from tuner.measure.batch_generator import prompt_seed
from tuner.measure.cache_keys import changes, key_of
from tuner.measure.evaluation import Evaluation
from tuner.measure.extra_metrics import ExtraMetric
from tuner.measure.pictures import checked
from tuner.measure.stopwatch import Seconds
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage.database import Storage

PARAMS: dict[str, dict[str, float]] = {
    "deepcache": {"cache_interval": 2, "cache_branch_id": 0},
    "tome": {"ratio": 0.5, "max_downsample": 1},
    "tgate": {"gate_step": 2, "sp_interval": 2, "fi_interval": 2, "warmup": 1},
}
SETTINGS = [
    Setting(),
    *(Setting.of({name: values}) for name, values in PARAMS.items()),
    Setting.of(PARAMS),
]
pytestmark = pytest.mark.usefixtures("ticking")  # a busy machine would change the latencies
EACH = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.combination)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Four prompts at four steps on the bundled miniature, in small; a trial times one pair."""
    spec = StudySpec(pipe="miniature", steps=4, num_samples=4, batch_size=2, resolution=32)
    return replace(Session().evaluation(spec), timing_pairs=1, most_pairs=1)


@pytest.fixture(scope="module")
def exact(evaluation: Evaluation) -> Evaluation:
    """The same in float64, where the order of summation changes no decision."""
    pipeline = tuner.load("miniature", scheduler="DDIM", device="cpu")
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.double()
    return replace(evaluation, pipeline=pipeline)


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    return Storage(f"sqlite:///{tmp_path / 'tuner.db'}")


def generated(evaluation: Evaluation, setting: Setting) -> torch.Tensor:
    """The pictures of every prompt, batch by batch."""
    with applied(evaluation.pipeline, setting.accelerators, seed=evaluation.seed) as call:
        return torch.cat([evaluation.generate(call, batch)[0] for batch in evaluation.batches()])


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


def test_a_baseline_is_stored_under_everything_that_changes_it(evaluation: Evaluation) -> None:
    def keys(changed: Evaluation) -> tuple[str, str]:
        return key_of(changed.score_parts), key_of(changed.latency_parts)

    scores, latency = keys(evaluation)
    assert keys(replace(evaluation)) == (scores, latency)
    for change, same_scores, same_latency in (
        ({"batch_size": 3}, True, False),
        ({"seed": 7}, False, True),
        ({"prompts": ["a red ring", "a blue ring"]}, False, True),
        ({"steps": 5}, False, False),
        ({"guidance_scale": 2.0}, False, False),
        ({"resolution": 128}, False, False),
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


@pytest.fixture(scope="module")
def compared(evaluation: Evaluation) -> Evaluation:
    """With extra metrics: two comparisons, and the scorer once more as a reward."""
    known = registry.components("metrics")
    reward = ExtraMetric(component=known["clip"], metric=evaluation.metric)
    others = (ExtraMetric(component=known[name], metric=known[name](device="cpu"))
              for name in ("psnr", "ssim"))  # fmt: skip
    return replace(evaluation, extra_metrics=(reward, *others))


def test_extra_metrics_compare_with_the_baseline_of_the_same_noise(
    compared: Evaluation, store: Storage
) -> None:
    before, after = (checked(generated(compared, each)) for each in (Setting(), SETTINGS[1]))
    *_, last = compared.measure(SETTINGS[1], store)
    for extra in compared.extra_metrics[1:]:
        assert last.fidelity[extra.name] == statistics.mean(extra.metric.compare(after, before))
    scores, _ = compared.baseline(store)
    drops = [a - b for a, b in zip(scores.scores, last.scores, strict=True)]
    assert last.fidelity["clip"] == statistics.mean(drops)
    assert last.fidelity["clip"].value == pytest.approx(np.mean(scores.scores) - last.score)


def test_the_baseline_as_a_setting_equals_itself(compared: Evaluation, store: Storage) -> None:
    (only,) = compared.measure(Setting(), store)
    equal = {extra.name: extra.component.equal for extra in compared.extra_metrics}
    assert {name: estimate.value for name, estimate in only.fidelity.items()} == equal
    images = checked(generated(compared, Setting()))
    same = compared.extra_metrics[2].metric.compare(images, images)
    assert statistics.mean(same).value == pytest.approx(equal["ssim"])


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


def test_a_metric_that_is_added_later_leaves_the_stored_scores_unchanged(
    evaluation: Evaluation, compared: Evaluation, store: Storage
) -> None:
    key = key_of(evaluation.score_parts)
    evaluation.baseline(store)
    before = store.get("scores", key)
    assert not compared.reference(store).complete
    replace(compared, timing_pairs=1).baseline(store)  # all prompts, although one batch is timed
    reference = compared.reference(store)
    assert reference.complete
    assert len(reference.pictures(range(4))) == 4
    assert store.get("scores", key) == before


def test_the_pictures_of_an_interrupted_baseline_do_not_count_as_complete(
    evaluation: Evaluation, compared: Evaluation, store: Storage
) -> None:
    def interrupted(batch: int, images: list[Any]) -> None:
        raise KeyboardInterrupt

    evaluation.baseline(store)
    pictures_only = replace(compared, extra_metrics=compared.extra_metrics[1:])
    with pytest.raises(KeyboardInterrupt):
        pictures_only.baseline(store, on_pictures=interrupted)
    assert len(pictures_only.reference(store).pictures(range(4))) == 2  # the first batch's
    assert not pictures_only.reference(store).complete
    pictures_only.baseline(store)
    assert pictures_only.reference(store).complete


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


def peak_host_gib(size_gib: float) -> float:
    """The peak memory of a block that allocates this much for a moment."""
    gc.collect()  # frees what earlier tests left before the measurement, not during it
    with machine.PeakMeter("cpu") as meter:
        np.ones(int(size_gib * 2**30), np.uint8)
    assert meter.peak.host is not None
    return meter.peak.host


def test_the_host_peak_is_of_the_block_not_of_the_processs_life() -> None:
    before = peak_host_gib(0)
    assert peak_host_gib(0.25) == pytest.approx(before + 0.25, abs=0.05)
    assert peak_host_gib(0) == pytest.approx(before, abs=0.05)


def test_there_is_no_peak_where_the_host_does_not_report_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "PROCESS", tmp_path / "no such folder")
    with machine.PeakMeter("cpu") as meter:
        pass
    assert meter.peak == machine.PeakMemory()


def test_every_prompt_has_its_own_noise() -> None:
    seeds = {prompt_seed(seed, number) for seed in (0, 1, 42) for number in range(500)}
    assert len(seeds) == 1500
    assert prompt_seed(42, 3) == prompt_seed(42, 3)


def test_latency_is_the_median_batch_per_picture() -> None:
    assert BaselineLatency(batch_seconds=[4.0, 1.0, 2.0], batch_size=2).latency_s == 1.0
    assert BaselineLatency(batch_seconds=[4.0, 2.0], batch_size=1).latency_s == 3.0


NOTHING = Setting.of({"tome": {"ratio": 0.0, "max_downsample": 1}})


def test_a_setting_that_changes_nothing_gets_a_note(evaluation: Evaluation, store: Storage) -> None:
    *_, last = evaluation.measure(NOTHING, store)
    assert last.same_pictures
    assert last.note is not None
    assert last.note.split("; ")[0] == "the pictures are the baseline's, byte for byte"


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
    words = "the baseline's picture 0 of the batch is black; max_samples = 2 avoids"
    with pytest.raises(BadPictureError, match=words):
        list(split.measure(SETTINGS[1], store))


def last_of_each(evaluation: Evaluation, setting: Setting, store: Storage) -> list[Any]:
    """Measurements on drawn prompts, from as many on as every setting is measured on."""
    by_count = {step.prompts: step for step in evaluation.measure(setting, store, drawn=True)}
    return [step for count, step in by_count.items() if count >= len(evaluation.prompts)]
