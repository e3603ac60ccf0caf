"""The plain pipeline with fewer steps is measured like a setting, against the same baseline."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from tuner.errors import UsageError
from tuner.measure import statistics
from tuner.measure.account import Ledger, Purpose
from tuner.measure.evaluation import Evaluation
from tuner.measure.fewer_steps import FewerSteps
from tuner.measure.measurement import Measurement
from tuner.measure.prediction import Prediction
from tuner.setting import Setting
from tuner.storage.database import Storage

pytestmark = pytest.mark.usefixtures("ticking")  # a busy machine would change the latencies


def last(evaluation: Evaluation, store: Storage, steps: int) -> Measurement:
    return list(evaluation.measure(FewerSteps(steps=steps), store))[-1]


def of_two_steps(evaluation: Evaluation) -> Evaluation:
    return replace(evaluation, steps=2, call=evaluation.call.changed(num_inference_steps=2))


def test_its_pictures_are_those_of_the_pipeline_with_that_number_of_steps(
    evaluation: Evaluation,
) -> None:
    numbers = range(2)
    images, _ = evaluation.generate_with(FewerSteps(steps=2), numbers)
    shorter, _ = of_two_steps(evaluation).generate_with(Setting(), numbers)
    whole, _ = evaluation.generate_with(Setting(), numbers)
    assert torch.equal(images, shorter)
    assert not torch.equal(images, whole)


def test_its_loss_is_against_the_baseline_of_the_same_prompts(
    evaluation: Evaluation, store: Storage
) -> None:
    before, _ = evaluation.baseline(store)
    measured = last(replace(evaluation, more_prompts=[]), store, 2)
    shorter, _ = of_two_steps(evaluation).baseline(store)
    assert measured.scores == pytest.approx(shorter.scores)
    assert measured.score_loss == statistics.score_loss(before.scores, measured.scores)
    assert measured.prompts == 4


def test_its_speedup_is_a_ratio_to_the_baseline_in_pairs(
    evaluation: Evaluation, store: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[int, Any]] = []
    generate = Evaluation.generate

    def counted(self: Evaluation, call: Any, numbers: range, *options: Any) -> Any:
        images, seconds = generate(self, call, numbers, *options)
        steps = options[2] if len(options) > 2 else self.steps
        took = replace(seconds, whole=float(steps), denoising=float(steps), wall=None)
        ran.append((steps, numbers))
        return images, took

    monkeypatch.setattr(Evaluation, "generate", counted)
    evaluation.baseline(store)
    ran.clear()
    measured = last(replace(evaluation, timing_pairs=2, most_pairs=2), store, 1)
    assert measured.speedup.value == pytest.approx(4.0)
    assert len(measured.ratios) == 2
    # A warm-up with fewer steps, and two pairs.
    assert sorted(steps for steps, _ in ran) == [1, 1, 1, 4, 4]


def test_its_cost_has_a_purpose_of_its_own_and_belongs_to_no_trial(
    evaluation: Evaluation, store: Storage
) -> None:
    ledger = Ledger()
    evaluation = replace(evaluation, ledger=ledger)
    evaluation.baseline(store)
    before = ledger.own()
    last(evaluation, store, 2)
    after = ledger.own()
    # A warm-up, four prompts, and the baseline of one batch as a pair.
    assert after.pictures == before.pictures | {Purpose.FEWER_STEPS: 2 + 4 + 2}
    for purpose in (Purpose.SCORED, Purpose.TIMING, Purpose.SCORING):
        assert after.seconds.get(purpose) == before.seconds.get(purpose)


def test_a_predicted_speedup_is_confirmed_by_one_pair(
    evaluation: Evaluation, store: Storage
) -> None:
    evaluation.baseline(store)
    timed = last(evaluation, store, 2).speedup.value
    for speedup, source in ((timed, "model"), (9 * timed, "few pairs")):
        predicted = Prediction(speedup=speedup, spread=0.02)
        fewer = FewerSteps(steps=2)
        *_, measured = evaluation.measure(fewer, store, predicted=predicted, few_pairs=True)
        assert measured.speedup.value == pytest.approx(timed)
        assert measured.speedup_from == source
        assert len(measured.ratios) == 1


def test_extra_metrics_compare_it_with_the_baselines_pictures(
    compared: Evaluation, store: Storage
) -> None:
    measured = last(compared, store, 2)
    assert set(measured.fidelity) == {"clip", "psnr", "ssim"}
    assert 0 < measured.fidelity["ssim"].value < 1


def test_a_number_of_steps_that_the_scheduler_cannot_run_is_refused_before_generating(
    evaluation: Evaluation, store: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation.baseline(store)
    monkeypatch.setattr(Evaluation, "generate", None)
    with pytest.raises(UsageError, match="cannot run exactly 1001 steps"):
        last(evaluation, store, 1001)
