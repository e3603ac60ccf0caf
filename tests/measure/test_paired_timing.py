"""Timing in pairs: interleaved, until the speedup is precise; an unsteady machine is reported."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Clock
from tuner.measure.baseline_store import BaselineLatency, payload_of
from tuner.measure.cache_keys import key_of
from tuner.measure.evaluation import Evaluation
from tuner.measure.interleave import interleaved, one_by_one
from tuner.measure.paired_timing import PairedTimings
from tuner.measure.stopwatch import Seconds
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage.database import Storage

FAST = Setting.of({"deepcache": {"cache_interval": 2, "cache_branch_id": 0}})


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Four prompts at two steps on the bundled miniature, in small."""
    spec = StudySpec(pipe="miniature", steps=2, num_samples=4, batch_size=2, resolution=16)
    return Session().evaluation(spec)


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    return Storage(f"sqlite:///{tmp_path / 'tuner.db'}")


class Timed(Evaluation):
    """Real pictures with simulated seconds; records which side each batch was of."""

    def takes(self, *seconds: tuple[float, float]) -> "Timed":
        """Each pair's seconds, of the baseline and of the setting; the last pair is repeated."""
        self.__dict__.update(seconds=list(seconds), accelerated=[])
        return self

    def generate_with(
        self, setting: Setting, numbers: range, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, Seconds]:
        output, _ = super().generate_with(setting, numbers, *args, **kwargs)
        order: list[bool] = self.__dict__["accelerated"]
        accelerated = bool(setting.accelerators)
        pair = max(order.count(accelerated) - 1, 0)  # the first batch of each side is a warm-up
        order.append(accelerated)
        seconds = self.__dict__["seconds"]
        whole = seconds[min(pair, len(seconds) - 1)][accelerated]
        return output, Seconds(whole=whole, denoising=whole / 2)


def timed(evaluation: Evaluation, **changes: Any) -> Timed:
    """The same evaluation with simulated seconds."""
    values = {field.name: getattr(evaluation, field.name) for field in fields(Evaluation)}
    return Timed(**values | changes)


def store_baseline(evaluation: Evaluation, store: Storage, seconds: float) -> None:
    """Store a baseline of so many seconds per batch of two."""
    evaluation.baseline(store)
    parts = evaluation.latency_parts
    latency = BaselineLatency(batch_seconds=[seconds] * 3, batch_size=2)
    store.put("latency", key_of(parts), parts, payload_of(latency))


def test_baseline_and_setting_come_first_alternately(
    evaluation: Evaluation, store: Storage
) -> None:
    simulated = timed(evaluation).takes((2.0, 1.0))
    store_baseline(simulated, store, 2.0)
    *_, last = simulated.measure(FAST, store)
    assert simulated.__dict__["accelerated"] == [True, False, False, True, True, False, False, True]
    assert last.speedup.value == pytest.approx(2)
    assert last.unsteady is None
    assert last.baseline_s == pytest.approx(1)


def test_pairs_are_added_until_the_speedup_is_precise(
    evaluation: Evaluation, store: Storage
) -> None:
    simulated = timed(evaluation).takes((2.0, 1.2), (2.0, 0.8), *[(2.0, 1.0)] * 20)
    store_baseline(simulated, store, 2.0)
    *_, last = simulated.measure(FAST, store)
    assert 3 < len(last.ratios) < 12
    assert last.speedup.high - last.speedup.low <= 0.04 * last.speedup.value
    assert last.prompts == 4  # no prompt is scored twice


def test_on_a_noisy_machine_the_pairs_end_at_the_maximum_and_it_is_reported(
    evaluation: Evaluation, store: Storage
) -> None:
    simulated = timed(evaluation, most_pairs=7).takes(*[(2.0, 1.5), (2.0, 0.7), (2.1, 1.0)] * 5)
    store_baseline(simulated, store, 2.0)
    *_, last = simulated.measure(FAST, store)
    assert len(last.ratios) == 7
    assert last.unsteady is not None


def test_a_changed_baseline_replaces_the_stored_one_and_leaves_the_speedup_alone(
    evaluation: Evaluation, store: Storage
) -> None:
    simulated = timed(evaluation).takes((4.0, 2.0))
    store_baseline(simulated, store, 2.0)
    *_, last = simulated.measure(FAST, store)
    assert last.unsteady == "the baseline takes 2 s per image now, 1 s when stored"
    assert last.speedup.value == pytest.approx(2)
    assert last.baseline_s == simulated.baseline(store)[1].latency_s == pytest.approx(2)
    *_, second = simulated.measure(FAST, store)  # with the new baseline
    assert second.unsteady is None
    assert second.baseline_s == pytest.approx(2)


def test_the_note_reports_a_slowdown_and_a_re_measured_baseline(
    evaluation: Evaluation, store: Storage
) -> None:
    simulated = timed(evaluation).takes((2.6, 2.9))
    store_baseline(simulated, store, 2.0)
    *_, last = simulated.measure(FAST, store)
    assert last.note == (
        "slower than the baseline; the baseline was re-measured: 1.3 s per image, 1 s before"
    )


def test_a_baseline_that_drifts_within_a_trial_is_not_stored(
    evaluation: Evaluation, store: Storage
) -> None:
    simulated = timed(evaluation, most_pairs=6).takes(*[(2.0, 1.0)] * 2, *[(5.0, 2.5)] * 4)
    store_baseline(simulated, store, 2.0)
    *_, last = simulated.measure(FAST, store)
    assert last.unsteady == "the baseline took 1 s per image at first and 2.5 s later"
    assert last.baseline_s == simulated.baseline(store)[1].latency_s == pytest.approx(1)


def test_interleaved_steps_and_whole_batches_give_the_same_pictures(evaluation: Evaluation) -> None:
    empty = PairedTimings(stored_s=1.0, batch_size=2)
    (by_step, first), (by_batch, second) = (
        evaluation.pairs.pair(FAST, range(2), empty, run_jobs)
        for run_jobs in (interleaved, one_by_one)
    )
    assert torch.equal(by_step, by_batch)
    assert len(first.ratios) == len(second.ratios) == 1


def test_denoising_is_timed_within_the_batch_and_no_hook_is_left(
    evaluation: Evaluation, ticking: Clock
) -> None:
    hooks = len(evaluation.pipeline.unet._forward_hooks)
    _, seconds = evaluation.generate_with(FAST, range(2))
    # Each reading of this clock takes a second. It is read before and after the pipeline, and at
    # the beginning and the end of each of the two steps.
    assert (seconds.whole, seconds.denoising) == (5, 3)
    assert len(evaluation.pipeline.unet._forward_hooks) == hooks
