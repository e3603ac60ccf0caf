"""The clock: by turns, until it is sure, and never silent about a machine that is not steady."""

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
from tuner.measure.baseline import BaselineLatency, key_of, payload_of
from tuner.measure.evaluation import Evaluation
from tuner.measure.interleave import interleaved, one_by_one
from tuner.measure.stopwatch import Seconds, Stopwatch, Turns
from tuner.search.runner.observer import Observer
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage.database import Storage

FAST = Setting.of({"deepcache": {"cache_interval": 2, "cache_branch_id": 0}})


def turns(without: list[float], accelerated: list[float], kept_s: float = 1.0) -> Turns:
    """Turns of one picture a batch, of whose seconds half is denoising."""
    found = Turns(kept_s=kept_s, batch_size=1)
    for before, after in zip(without, accelerated, strict=True):
        found = found.plus(
            Seconds(whole=before, denoising=before / 2), Seconds(whole=after, denoising=after / 4)
        )
    return found


def test_the_speedup_is_the_median_of_what_the_turns_say() -> None:
    found = turns([1.0, 1.002, 0.998], [0.5, 0.5, 0.5])
    assert found.ratios == pytest.approx([2, 2.004, 1.996])
    assert found.speedup.value == pytest.approx(2)
    assert found.denoising.value == pytest.approx(4)
    assert found.unsteady is None
    assert found.renewed is None


@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_a_machine_that_is_another_one_says_so_and_its_own_baseline_counts(factor: float) -> None:
    found = turns([factor, factor * 1.001, factor * 0.999], [factor / 2] * 3)
    assert found.unsteady == f"the baseline takes {factor:.3g} s per image now, 1 s before"
    assert found.renewed is None  # it is said already
    assert found.enough(0.02)  # it holds still all the same


@pytest.mark.parametrize("factor", [0.75, 1.35])
def test_a_baseline_that_moved_a_little_counts_as_it_is_now_and_is_no_alarm(factor: float) -> None:
    found = turns([factor] * 3, [factor / 2] * 3)
    assert found.has_changed
    assert found.unsteady is None
    assert found.renewed is not None and f"{factor:.3g} s per image, 1 s before" in found.renewed


def test_load_that_comes_half_way_is_said() -> None:
    found = turns([1, 1, 1, 2, 2, 2], [0.5, 0.5, 0.5, 1, 1, 1])
    assert found.speedup.high - found.speedup.low < 1e-9  # the ratios know nothing of it
    assert found.unsteady == "the baseline took 1 s per image at first and 2 s later"
    assert not found.enough(0.02)


def test_one_batch_that_was_held_up_is_no_drift_among_many() -> None:
    found = turns([1] * 9 + [1.9, 1, 1], [0.5] * 12)
    assert found.unsteady is None
    assert found.enough(0.02)


def test_a_speedup_that_is_known_roughly_says_so() -> None:
    found = turns([1, 1, 1, 1, 1, 1], [0.5, 0.8, 0.4, 0.6, 0.5, 0.4])
    assert found.unsteady is not None and found.unsteady.startswith("the speedup is known to ±")
    assert not found.enough(0.02)


@pytest.mark.parametrize("noise", ["normal", "spikes"])
@pytest.mark.parametrize("size", [0.005, 0.02])
def test_19_of_20_intervals_cover_although_pairs_stop_when_one_is_narrow(
    noise: str, size: float
) -> None:
    rng = np.random.default_rng(7)
    held = []
    for _ in range(600):
        logs = rng.normal(0, size, (2, 12))
        if noise == "spikes":  # one batch in ten is held up by a quarter of its time
            logs += (rng.random((2, 12)) < 0.1) * rng.exponential(0.25, (2, 12))
        ratios = (2 * np.exp(logs[0] - logs[1])).tolist()
        for count in range(3, 13):
            found = statistics.speedup(ratios[:count])
            if (found.high - found.low) / 2 <= 0.02 * found.value:
                break
        held.append(found.low <= 2 <= found.high)
    assert 0.92 <= sum(held) / len(held) <= 0.99


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Four prompts at two steps on the bundled miniature, in small."""
    spec = StudySpec(pipe="miniature", steps=2, num_samples=4, batch_size=2, resolution=16)
    return Session().evaluation(spec)


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    return Storage(f"sqlite:///{tmp_path / 'tuner.db'}")


class Timed(Evaluation):
    """Real pictures, on a machine whose seconds the test makes up; remembers the turns."""

    def takes(self, *seconds: tuple[float, float]) -> "Timed":
        """Of each pair the baseline's seconds and the setting's; the last one goes on for ever."""
        self.__dict__.update(seconds=list(seconds), turns=[])
        return self

    def _one(
        self, setting: Setting, numbers: range, *turn: Any, **where: Any
    ) -> tuple[torch.Tensor, Seconds]:
        output, _ = super()._one(setting, numbers, *turn, **where)
        order: list[bool] = self.__dict__["turns"]
        fast = bool(setting.accelerators)
        pair = max(order.count(fast) - 1, 0)  # the first of each is the warm-up
        order.append(fast)
        seconds = self.__dict__["seconds"]
        took = seconds[min(pair, len(seconds) - 1)][fast]
        return output, Seconds(whole=took, denoising=took / 2)


def timed(evaluation: Evaluation, **changes: Any) -> Timed:
    """The same, on a made-up machine."""
    return Timed(
        **{one.name: getattr(evaluation, one.name) for one in fields(Evaluation)} | changes
    )


def keep_baseline(evaluation: Evaluation, store: Storage, seconds: float) -> None:
    """Let the store have a baseline of so many seconds a batch."""
    evaluation.baseline(store)
    parts = evaluation.latency_parts
    kept = BaselineLatency(batch_seconds=[seconds] * 3, batch_size=2)
    store.put("latency", key_of(parts), parts, payload_of(kept))


def test_baseline_and_setting_take_turns_at_coming_first(
    evaluation: Evaluation, store: Storage
) -> None:
    one = timed(evaluation).takes((2.0, 1.0))
    keep_baseline(one, store, 2.0)
    *_, last = one.measure(FAST, store)
    assert one.__dict__["turns"] == [True, False, False, True, True, False, False, True]
    assert last.speedup.value == pytest.approx(2)
    assert last.unsteady is None
    assert last.baseline_s == pytest.approx(1)


def test_pairs_are_added_until_the_speedup_is_known_well(
    evaluation: Evaluation, store: Storage
) -> None:
    one = timed(evaluation).takes((2.0, 1.2), (2.0, 0.8), *[(2.0, 1.0)] * 20)
    keep_baseline(one, store, 2.0)
    *_, last = one.measure(FAST, store)
    assert 3 < len(last.ratios) < 12
    assert last.speedup.high - last.speedup.low <= 0.04 * last.speedup.value
    assert last.prompts == 4  # none is scored twice


def test_a_wild_machine_ends_at_the_budget_and_is_named(
    evaluation: Evaluation, store: Storage
) -> None:
    one = timed(evaluation, most_pairs=7).takes(*[(2.0, 1.5), (2.0, 0.7), (2.1, 1.0)] * 5)
    keep_baseline(one, store, 2.0)
    *_, last = one.measure(FAST, store)
    assert len(last.ratios) == 7
    assert last.unsteady is not None


def test_a_baseline_that_moved_is_measured_again_and_not_divided_by(
    evaluation: Evaluation, store: Storage
) -> None:
    one = timed(evaluation).takes((4.0, 2.0))
    keep_baseline(one, store, 2.0)
    *_, last = one.measure(FAST, store)
    assert last.unsteady == "the baseline takes 2 s per image now, 1 s before"
    assert last.speedup.value == pytest.approx(2)
    assert last.baseline_s == one.baseline(store)[1].latency_s == pytest.approx(2)
    *_, again = one.measure(FAST, store)  # the machine is now known as it is
    assert again.unsteady is None
    assert again.baseline_s == pytest.approx(2)


def test_a_slowdown_on_a_baseline_that_moved_a_little_is_told_of_both(
    evaluation: Evaluation, store: Storage
) -> None:
    one = timed(evaluation).takes((2.6, 2.9))
    keep_baseline(one, store, 2.0)
    *_, last = one.measure(FAST, store)
    assert last.note == (
        "slower than the baseline; the baseline was measured anew: 1.3 s per image, 1 s before"
    )


def test_a_baseline_that_wanders_within_a_trial_is_not_kept(
    evaluation: Evaluation, store: Storage
) -> None:
    one = timed(evaluation, most_pairs=6).takes(*[(2.0, 1.0)] * 2, *[(5.0, 2.5)] * 4)
    keep_baseline(one, store, 2.0)
    *_, last = one.measure(FAST, store)
    assert last.unsteady == "the baseline took 1 s per image at first and 2.5 s later"
    assert last.baseline_s == one.baseline(store)[1].latency_s == pytest.approx(1)


def test_batches_by_turns_draw_what_steps_by_turns_draw(evaluation: Evaluation) -> None:
    empty = Turns(kept_s=1.0, batch_size=2)
    steps, batches = (
        evaluation.pairs.pair(FAST, range(2), empty, way) for way in (interleaved, one_by_one)
    )
    assert torch.equal(steps[0], batches[0])
    assert all(len(turns.ratios) == 1 for _, turns in (steps, batches))


def test_denoising_is_timed_inside_the_whole_and_leaves_no_hook(
    evaluation: Evaluation, ticking: Clock
) -> None:
    hooks = len(evaluation.pipeline.unet._forward_hooks)
    _, took = evaluation._one(FAST, range(2))
    # By a clock of which each look takes a second: one before the pipeline and one after it, one
    # as each of two steps begins and one as it ends.
    assert (took.whole, took.denoising) == (5, 3)
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
def test_more_threads_than_idle_cores_are_warned_of(
    threads: int, busy: list[float], words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: busy)
    monkeypatch.setattr(machine, "_own_cores", lambda: range(len(busy)))
    found = machine.contention("cpu")
    assert (found is None) == (words is None)
    assert words is None or (found is not None and words in found and "\n" not in found)
    assert machine.contention("cuda:0") is None


def test_only_the_cores_that_are_ours_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: [0.0, 100.0, 0.0])
    monkeypatch.setattr(machine, "_own_cores", lambda: [0, 2])
    assert machine.contention("cpu") is None
    monkeypatch.setattr(machine, "_own_cores", lambda: [0, 1])
    assert machine.contention("cpu") is not None


def test_a_run_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[str] = []
    watch = Observer()
    monkeypatch.setattr(watch, "notice", said.append)
    monkeypatch.setattr("tuner.session.contention", lambda device: f"{device} is crowded")

    class BegunError(Exception):
        """The run goes on, but not here."""

    def begun(*_: Any, **__: Any) -> None:
        raise BegunError

    monkeypatch.setattr(Session, "evaluation", begun)
    with pytest.raises(BegunError):
        Session().run(StudySpec(storage=f"sqlite:///{tmp_path / 'tuner.db'}"), watch)
    assert "cpu is crowded" in said
