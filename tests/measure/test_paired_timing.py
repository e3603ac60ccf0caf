"""Paired timings: until the speedup is precise, with a report where the machine is unsteady."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from tests.conftest import Clock
from tuner.measure import device as machine
from tuner.measure import statistics
from tuner.measure.baseline_store import BaselineLatency, payload_of
from tuner.measure.cache_keys import key_of
from tuner.measure.evaluation import Evaluation
from tuner.measure.interleave import interleaved, one_by_one
from tuner.measure.paired_timing import PairedTimings
from tuner.measure.stopwatch import Seconds, Stopwatch
from tuner.search.runner.observer import Observer
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage.database import Storage

FAST = Setting.of({"deepcache": {"cache_interval": 2, "cache_branch_id": 0}})


def paired(baseline: list[float], accelerated: list[float]) -> PairedTimings:
    """Timings of batches of one picture; denoising is a half and a quarter of their seconds."""
    timings = PairedTimings(stored_s=1.0, batch_size=1)
    for before, after in zip(baseline, accelerated, strict=True):
        timings = timings.plus(
            Seconds(whole=before, denoising=before / 2), Seconds(whole=after, denoising=after / 4)
        )
    return timings


def test_the_speedup_is_the_median_ratio_of_the_pairs() -> None:
    timings = paired([1.0, 1.002, 0.998], [0.5, 0.5, 0.5])
    assert timings.ratios == pytest.approx([2, 2.004, 1.996])
    assert timings.speedup.value == pytest.approx(2)
    assert timings.denoising.value == pytest.approx(4)
    assert timings.unsteady is None
    assert timings.baseline_note is None


@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_a_baseline_that_changed_by_far_is_reported_as_unsteady(factor: float) -> None:
    timings = paired([factor, factor * 1.001, factor * 0.999], [factor / 2] * 3)
    assert timings.unsteady == f"the baseline takes {factor:.3g} s per image now, 1 s before"
    assert timings.baseline_note is None  # `unsteady` reports it
    assert timings.is_precise(0.02)  # as it is steady within the trial


@pytest.mark.parametrize("factor", [0.75, 1.35])
def test_a_baseline_that_changed_a_little_is_re_measured_without_an_alarm(factor: float) -> None:
    timings = paired([factor] * 3, [factor / 2] * 3)
    assert timings.baseline_changed
    assert timings.unsteady is None
    assert (
        timings.baseline_note is not None
        and f"{factor:.3g} s per image, 1 s before" in timings.baseline_note
    )


def test_load_that_begins_halfway_is_reported() -> None:
    timings = paired([1, 1, 1, 2, 2, 2], [0.5, 0.5, 0.5, 1, 1, 1])
    assert timings.speedup.high - timings.speedup.low < 1e-9  # the ratios do not show it
    assert timings.unsteady == "the baseline took 1 s per image at first and 2 s later"
    assert not timings.is_precise(0.02)


def test_one_delayed_batch_among_many_is_no_drift() -> None:
    timings = paired([1] * 9 + [1.9, 1, 1], [0.5] * 12)
    assert timings.unsteady is None
    assert timings.is_precise(0.02)


def test_an_imprecise_speedup_is_reported() -> None:
    timings = paired([1, 1, 1, 1, 1, 1], [0.5, 0.8, 0.4, 0.6, 0.5, 0.4])
    assert timings.unsteady is not None and timings.unsteady.startswith("the speedup is known to ±")
    assert not timings.is_precise(0.02)


@pytest.mark.parametrize("noise", ["normal", "spikes"])
@pytest.mark.parametrize("size", [0.005, 0.02])
def test_19_of_20_intervals_cover_although_pairs_end_when_one_is_narrow(
    noise: str, size: float
) -> None:
    rng = np.random.default_rng(7)
    covered = []
    for _ in range(600):
        logs = rng.normal(0, size, (2, 12))
        if noise == "spikes":  # one batch in ten is delayed, by a quarter of its time on average
            logs += (rng.random((2, 12)) < 0.1) * rng.exponential(0.25, (2, 12))
        ratios = (2 * np.exp(logs[0] - logs[1])).tolist()
        for count in range(3, 13):
            speedup = statistics.speedup(ratios[:count])
            if (speedup.high - speedup.low) / 2 <= 0.02 * speedup.value:
                break
        covered.append(speedup.low <= 2 <= speedup.high)
    assert 0.92 <= sum(covered) / len(covered) <= 0.99


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
    assert last.unsteady == "the baseline takes 2 s per image now, 1 s before"
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


def test_denoising_begins_with_the_first_call_and_ends_with_the_last(ticking: Clock) -> None:
    denoiser = torch.nn.Identity()
    with Stopwatch(denoiser, "cpu").timed() as seconds:
        ticking.now += 200
        for _ in range(3):
            denoiser(torch.ones(1))
            ticking.now += 100
    assert seconds().denoising == pytest.approx(200, abs=10)
    assert seconds().whole == pytest.approx(500, abs=10)
    with Stopwatch(denoiser, "cpu").timed() as seconds:
        pass
    with pytest.raises(RuntimeError, match="not called"):
        seconds()


@pytest.mark.parametrize(
    ("threads", "busy", "words"),
    [
        (2, [100.0, 0.0], "OMP_NUM_THREADS=1"),
        (4, [100.0, 95.0, 3.0, 100.0], "OMP_NUM_THREADS=1"),
        (4, [100.0, 5.0, 3.0, 0.0], "OMP_NUM_THREADS=3"),
        (3, [100.0, 5.0, 3.0, 0.0], None),
        (2, [20.0, 10.0], None),
        (1, [100.0, 100.0], None),
    ],
)
def test_more_threads_than_idle_cores_give_a_warning(
    threads: int, busy: list[float], words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: busy)
    monkeypatch.setattr(machine, "_own_cores", lambda: range(len(busy)))
    warning = machine.contention("cpu")
    assert (warning is None) == (words is None)
    assert words is None or (warning is not None and words in warning and "\n" not in warning)
    assert machine.contention("cuda:0") is None


def test_only_cores_on_which_this_process_may_run_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: [0.0, 100.0, 0.0])
    monkeypatch.setattr(machine, "_own_cores", lambda: [0, 2])
    assert machine.contention("cpu") is None
    monkeypatch.setattr(machine, "_own_cores", lambda: [0, 1])
    assert machine.contention("cpu") is not None


def test_a_run_reports_the_contention(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    notices: list[str] = []
    observer = Observer()
    monkeypatch.setattr(observer, "notice", notices.append)
    monkeypatch.setattr("tuner.session.contention", lambda device: f"{device} is crowded")

    class ReachedError(Exception):
        """Ends the run where the evaluation would be loaded."""

    def reached(*_: Any, **__: Any) -> None:
        raise ReachedError

    monkeypatch.setattr(Session, "evaluation", reached)
    with pytest.raises(ReachedError):
        Session().run(StudySpec(storage=f"sqlite:///{tmp_path / 'tuner.db'}"), observer)
    assert "cpu is crowded" in notices
