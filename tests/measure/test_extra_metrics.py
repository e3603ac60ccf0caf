"""Extra metrics compare a setting with the baseline of the same noise."""

from dataclasses import replace

import numpy as np
import pytest

from tests.measure.generation import SETTINGS, generated
from tuner.measure import statistics
from tuner.measure.baseline import key_of
from tuner.measure.evaluation import Evaluation
from tuner.measure.pictures import checked
from tuner.setting import Setting
from tuner.storage.database import Storage

pytestmark = pytest.mark.usefixtures("ticking")  # or a busy machine would tell another latency


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
