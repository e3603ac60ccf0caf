"""Extra metrics compare a setting with the baseline of the same noise."""

from dataclasses import replace

import numpy as np
import pytest

from tests.measure.generation import SETTINGS, generated
from tuner.measure import statistics
from tuner.measure.cache_keys import key_of
from tuner.measure.evaluation import Evaluation
from tuner.measure.pictures import checked
from tuner.setting import Setting
from tuner.storage.database import Storage

pytestmark = pytest.mark.usefixtures("ticking")  # a busy machine would change the latencies


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
