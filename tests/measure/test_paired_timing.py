"""The clock: by turns, until it is sure, and never silent about a machine that is not steady."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Clock
from tuner.measure.baseline import BaselineLatency, key_of, payload_of
from tuner.measure.evaluation import Evaluation
from tuner.measure.interleave import interleaved, one_by_one
from tuner.measure.stopwatch import Seconds, Turns
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
