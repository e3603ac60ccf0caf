"""Timing in pairs: interleaved, until the speedup is precise; an unsteady machine is reported."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Clock
from tuner.measure.account import Ledger, Purpose
from tuner.measure.baseline_store import BaselineLatency, payload_of
from tuner.measure.cache_keys import key_of
from tuner.measure.evaluation import Evaluation
from tuner.measure.interleave import interleaved, one_by_one
from tuner.measure.paired_timing import PairedTimings
from tuner.measure.prediction import Prediction
from tuner.measure.statistics import half_width
from tuner.measure.stopwatch import Seconds
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.timed_steps import timed_steps

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
        # The first batch of the setting is a warm-up.
        pair = max(order.count(True) - 1, 0) if accelerated else order.count(False)
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
    assert simulated.__dict__["accelerated"] == [True, False, True, True, False, False, True]
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
    (_, by_step, first), (_, by_batch, second) = (
        evaluation.pairs.pair(FAST, range(2), empty, run_jobs)
        for run_jobs in (interleaved, one_by_one)
    )
    assert torch.equal(by_step, by_batch)
    assert len(first.ratios) == len(second.ratios) == 1


def test_settings_whose_steps_are_timed_share_one_batch_of_the_baseline(
    evaluation: Evaluation, store: Storage
) -> None:
    ledger = Ledger()
    measured = replace(evaluation, ledger=ledger)
    rarely = Setting.of({"deepcache": {"cache_interval": 2, "cache_branch_id": 1}})
    timed = timed_steps([FAST, rarely], measured, store)
    assert [generation.setting for generation in timed] == [Setting(), FAST, rarely]
    assert all(len(generation.steps) == evaluation.steps for generation in timed)
    assert ledger.own().pictures[Purpose.TIMED_STEPS] == 3 * evaluation.batch_size
    assert timed_steps([rarely, FAST], measured, store) == [timed[0], timed[2], timed[1]]
    assert ledger.own().pictures[Purpose.TIMED_STEPS] == 3 * evaluation.batch_size


def test_denoising_is_timed_within_the_batch_and_no_hook_is_left(
    evaluation: Evaluation, ticking: Clock
) -> None:
    hooks = len(evaluation.pipeline.unet._forward_hooks)
    _, seconds = evaluation.generate_with(FAST, range(2))
    # Each reading of this clock takes a second. It is read twice before and after the pipeline (the
    # thread's own time and the wall clock), and at the beginning and the end of both steps.
    assert (seconds.whole, seconds.denoising) == (6, 3)
    assert len(evaluation.pipeline.unet._forward_hooks) == hooks


PREDICTED = Prediction(speedup=2.0, spread=0.02)


def test_a_predicted_speedup_is_confirmed_by_one_pair(
    evaluation: Evaluation, store: Storage
) -> None:
    simulated = timed(evaluation).takes((2.0, 1.02))
    store_baseline(simulated, store, 2.0)
    *_, last = simulated.measure(FAST, store, predicted=PREDICTED)
    assert simulated.__dict__["accelerated"] == [
        True,
        False,
        True,
    ]  # two batches, one of them paired
    assert last.speedup_from == "model"
    assert 2 / 1.02 < last.speedup.value < 2
    assert last.speedup.low < 2 / 1.02 and last.speedup.high > 2
    assert last.predicted == 2.0
    assert last.timed and last.unsteady is None


def test_a_prediction_that_needs_no_pair_has_none(evaluation: Evaluation, store: Storage) -> None:
    simulated = timed(evaluation).takes((2.0, 1.02))
    store_baseline(simulated, store, 2.0)
    predicted = Prediction(speedup=2.0, spread=0.01, pair=False)
    *_, last = simulated.measure(FAST, store, predicted=predicted)
    assert simulated.__dict__["accelerated"] == [True, True]
    assert (last.ratios, last.denoising, last.speedup_from) == ([], None, "model")
    assert last.speedup.value == pytest.approx(2)
    assert last.unsteady is None


def test_a_prediction_that_a_pair_contradicts_is_replaced_by_pairs(
    evaluation: Evaluation, store: Storage
) -> None:
    simulated = timed(evaluation).takes((2.0, 1.3))
    store_baseline(simulated, store, 2.0)
    *_, last = simulated.measure(FAST, store, predicted=PREDICTED)
    assert last.speedup_from is None  # three equal ratios are precise
    assert len(last.ratios) == 3
    assert last.speedup.value == pytest.approx(2 / 1.3)


@pytest.mark.parametrize("predicted", [PREDICTED, None])
def test_what_the_search_times_at_its_end_is_known_from_few_pairs_before(
    evaluation: Evaluation, store: Storage, predicted: Prediction | None
) -> None:
    scattered = (2.0, 1.3), (2.0, 1.3), (2.0, 1.2), (2.0, 1.4)
    simulated = timed(evaluation).takes(*scattered)
    store_baseline(simulated, store, 2.0)
    *_, last = simulated.measure(FAST, store, predicted=predicted, few_pairs=True)
    assert (last.speedup_from, last.timed, last.unsteady) == ("few pairs", True, None)
    assert len(last.ratios) == 3
    assert last.speedup.low < 2 / 1.3 < last.speedup.high < 1.2 * last.speedup.low
    timings = simulated.time(FAST, store)
    assert timings.source is None


def test_few_pairs_are_enough_also_where_they_agree_with_an_uncertain_prediction(
    evaluation: Evaluation, store: Storage
) -> None:
    simulated = timed(evaluation).takes((2.0, 1.0), (2.0, 1.3), (2.0, 0.8), (2.0, 1.1))
    store_baseline(simulated, store, 2.0)
    predicted = Prediction(speedup=2.0, spread=0.5)
    *_, last = simulated.measure(FAST, store, predicted=predicted, few_pairs=True)
    assert (len(last.ratios), last.speedup_from, last.timed) == (3, "model", True)


def test_where_the_machine_changes_within_few_pairs_more_are_timed(
    evaluation: Evaluation, store: Storage
) -> None:
    simulated = timed(evaluation).takes((2.0, 1.0), (2.0, 1.0), (6.0, 3.0))
    store_baseline(simulated, store, 2.0)
    *_, last = simulated.measure(FAST, store, few_pairs=True)
    assert len(last.ratios) > 3


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_pairs_that_agree_with_a_prediction_never_make_it_less_certain(count: int) -> None:
    predicted, second = Prediction(speedup=1.5, spread=0.01), Seconds(whole=1.0, denoising=1.0)
    timings = PairedTimings(stored_s=1.0, batch_size=1, predicted=predicted, few=True, scatter=0.02)
    before = half_width(timings.speedup)
    for number in range(count):
        whole = 1.52 + 0.001 * (number % 2)
        timings = timings.plus(Seconds(whole=whole, denoising=1.0), second)
    assert half_width(timings.speedup) <= before


def test_a_speedup_that_is_not_timed_again_is_timed_until_it_is_precise(
    evaluation: Evaluation, store: Storage
) -> None:
    simulated = timed(evaluation).takes((2.0, 1.3), (2.0, 1.3), (2.0, 1.2), (2.0, 1.4))
    store_baseline(simulated, store, 2.0)
    *_, last = simulated.measure(FAST, store, predicted=PREDICTED)
    assert last.speedup_from is None and len(last.ratios) > 3


def test_a_batch_whose_baseline_is_missing_is_a_pair_that_is_scored_on_both_sides(
    evaluation: Evaluation, store: Storage
) -> None:
    first, more = evaluation.prompts[:2], evaluation.prompts[2:]
    split = timed(evaluation, prompts=first, more_prompts=more).takes((2.0, 1.0))
    store_baseline(split, store, 2.0)
    split.__dict__["accelerated"] = []
    *_, last = split.measure(FAST, store, predicted=PREDICTED)
    # The second batch's baseline is scored; the first batch is paired for its timing only.
    pictures = {purpose: count for purpose, count in last.cost.pictures.items() if count}
    assert pictures == {
        Purpose.WARM_UP: 2,
        Purpose.SCORED: 4,
        Purpose.TIMING: 2,
        Purpose.BASELINE: 2,
    }
    *_, again = split.measure(FAST, store, predicted=PREDICTED)
    assert again.scores == last.scores
    assert Purpose.BASELINE not in again.cost.pictures


def test_a_verification_measures_the_baseline_of_its_prompts_in_pairs(
    evaluation: Evaluation, store: Storage
) -> None:
    store_baseline(evaluation, store, 2.0)
    second = timed(evaluation, verifies=True, seed=7).takes((2.0, 1.0))
    *_, last = second.measure(FAST, store)
    assert last.speedup_from is None
    assert last.cost.pictures[Purpose.VERIFICATION] == 8
    plain = timed(evaluation, seed=7).takes((2.0, 1.0))
    *_, expected = plain.measure(FAST, store)
    assert (last.scores, last.score_loss) == (expected.scores, expected.score_loss)
    assert last.score == pytest.approx(expected.score)
