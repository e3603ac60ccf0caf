"""Measuring: the same numbers twice, whatever ran before, under keys that tell all apart."""

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
from tuner.measure.baseline import BaselineLatency, changes, key_of
from tuner.measure.evaluation import Evaluation, prompt_seed
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
pytestmark = pytest.mark.usefixtures("ticking")  # or a busy machine would tell another latency
EACH = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.combination)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Four prompts at four steps on the bundled miniature, in small; one pair tells the speedup."""
    spec = StudySpec(pipe="miniature", steps=4, num_samples=4, batch_size=2, resolution=32)
    return replace(Session().evaluation(spec), timing_pairs=1, most_pairs=1)


@pytest.fixture(scope="module")
def exact(evaluation: Evaluation) -> Evaluation:
    """The same in float64, where the order of a sum flips no decision."""
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
        found = [evaluation.generate(call, numbers)[0] for numbers in evaluation.batches()]
    return torch.cat(found)


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


def test_a_baseline_is_kept_under_everything_that_changes_it(evaluation: Evaluation) -> None:
    def keys(one: Evaluation) -> tuple[str, str]:
        return key_of(one.score_parts), key_of(one.latency_parts)

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
        found = keys(replace(evaluation, **change))
        assert (found[0] == scores, found[1] == latency) == (same_scores, same_latency), change


def test_the_key_holds_weights_scheduler_precision_machine_and_packages(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parts(one: Evaluation) -> dict[str, Any]:
        return one.score_parts | one.latency_parts

    def change(pipeline: Any) -> list[str]:
        found = changes(before, parts(replace(evaluation, pipeline=pipeline)))
        return [one.split()[0] for one in found]

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


def test_changes_between_baselines_are_named_with_both_values() -> None:
    before = {"steps": 4, "versions": {"torch": "2.14.0", "diffusers": "0.42.1"}, "threads": 1}
    now = {"steps": 4, "versions": {"torch": "2.15.0", "diffusers": "0.42.1"}, "driver": "580.1"}
    assert changes(before, now) == [
        "torch 2.14.0 -> 2.15.0",
        "threads 1 -> none",
        "driver none -> 580.1",
    ]
    assert changes(now, dict(reversed(now.items()))) == []
    assert changes({"betas": [1, 2]}, {"betas": (1, 2)}) == []  # a store gives lists back


class Zero:
    """A metric that thinks nothing of any picture."""

    identity = "zero"

    def score(self, images: list[Any], prompts: list[str]) -> list[float]:
        return [0.0 for _ in images]


def test_a_baseline_without_a_score_is_the_users_to_mend(
    evaluation: Evaluation, store: Storage
) -> None:
    worthless = replace(evaluation, metric=Zero(), prompts=evaluation.prompts[:2])
    with pytest.raises(UsageError, match=r"mean score is 0\.00"):
        worthless.baseline(store)
    assert store.get("scores", key_of(worthless.score_parts)) is None


@pytest.fixture(scope="module")
def compared(evaluation: Evaluation) -> Evaluation:
    """With metrics beside the score: two comparisons, and the scorer once more as a reward."""
    known = registry.components("metrics")
    rewards = ExtraMetric(component=known["clip"], metric=evaluation.metric)
    others = (ExtraMetric(component=known[name], metric=known[name](device="cpu"))
              for name in ("psnr", "ssim"))  # fmt: skip
    return replace(evaluation, beside=(rewards, *others))


def test_metrics_beside_the_score_compare_with_the_baseline_of_the_same_noise(
    compared: Evaluation, store: Storage
) -> None:
    before, after = (checked(generated(compared, one)) for one in (Setting(), SETTINGS[1]))
    *_, last = compared.measure(SETTINGS[1], store)
    for one in compared.beside[1:]:
        assert last.fidelity[one.name] == statistics.mean(one.metric.compare(after, before))
    scores, _ = compared.baseline(store)
    drops = [a - b for a, b in zip(scores.scores, last.scores, strict=True)]
    assert last.fidelity["clip"] == statistics.mean(drops)
    assert last.fidelity["clip"].value == pytest.approx(np.mean(scores.scores) - last.score)


def test_the_baseline_as_a_setting_equals_itself(compared: Evaluation, store: Storage) -> None:
    (only,) = compared.measure(Setting(), store)
    equal = {one.name: one.component.equal for one in compared.beside}
    assert {name: one.value for name, one in only.fidelity.items()} == equal
    images = checked(generated(compared, Setting()))
    same = compared.beside[2].metric.compare(images, images)
    assert statistics.mean(same).value == pytest.approx(equal["ssim"])


def test_the_baselines_pictures_are_kept_and_are_not_generated_again(
    compared: Evaluation, store: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared.baseline(store)
    reference = compared.reference(Storage(store.url, create=False))
    assert reference.complete
    kept = [one for numbers in compared.batches() for one in reference.pictures(numbers)]
    for one, other in zip(kept, checked(generated(compared, Setting())), strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))
    assert 0 < reference.size < 4 * 64 * 64 * 3 * 4 / 3
    monkeypatch.setattr(Evaluation, "generate", None)
    compared.baseline(Storage(store.url, create=False))


def test_a_metric_that_comes_later_leaves_the_scores_as_they_are(
    evaluation: Evaluation, compared: Evaluation, store: Storage
) -> None:
    key = key_of(evaluation.score_parts)
    evaluation.baseline(store)
    before = store.get("scores", key)
    assert not compared.reference(store).complete
    replace(compared, timing_pairs=1).baseline(store)  # all prompts, however few are timed
    reference = compared.reference(store)
    assert reference.complete
    assert len(reference.pictures(range(4))) == 4
    assert store.get("scores", key) == before


def test_pictures_of_a_baseline_that_was_interrupted_are_not_taken_for_all(
    evaluation: Evaluation, compared: Evaluation, store: Storage
) -> None:
    def interrupted(batch: int, images: list[Any]) -> None:
        raise KeyboardInterrupt

    evaluation.baseline(store)
    pictures_only = replace(compared, beside=compared.beside[1:])
    with pytest.raises(KeyboardInterrupt):
        pictures_only.baseline(store, on_pictures=interrupted)
    assert len(pictures_only.reference(store).pictures(range(4))) == 2  # the first batch's
    assert not pictures_only.reference(store).complete
    pictures_only.baseline(store)
    assert pictures_only.reference(store).complete


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


def peak_host_gib(size_gib: float) -> float:
    """The peak of a block that needs so much for a moment."""
    gc.collect()  # what the tests before left may go here, but not between two looks
    with machine.PeakMeter("cpu") as meter:
        np.ones(int(size_gib * 2**30), np.uint8)
    assert meter.found.host is not None
    return meter.found.host


def test_the_host_peak_is_of_the_block_not_of_the_processs_life() -> None:
    before = peak_host_gib(0)
    assert peak_host_gib(0.25) == pytest.approx(before + 0.25, abs=0.05)
    assert peak_host_gib(0) == pytest.approx(before, abs=0.05)


def test_where_the_host_does_not_tell_there_is_no_peak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "PROCESS", tmp_path / "no such folder")
    with machine.PeakMeter("cpu") as meter:
        pass
    assert meter.found == machine.PeakMemory()


def test_every_prompt_has_noise_of_its_own() -> None:
    seeds = {prompt_seed(seed, number) for seed in (0, 1, 42) for number in range(500)}
    assert len(seeds) == 1500
    assert prompt_seed(42, 3) == prompt_seed(42, 3)


def test_latency_is_the_median_batch_by_the_picture() -> None:
    assert BaselineLatency(batch_seconds=[4.0, 1.0, 2.0], batch_size=2).latency_s == 1.0
    assert BaselineLatency(batch_seconds=[4.0, 2.0], batch_size=1).latency_s == 3.0


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
