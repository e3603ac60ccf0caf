"""The quality model: its kernel compares how much settings reuse, and at which steps."""

import numpy as np
import pytest
from sklearn.base import clone

from tuner.search.frontier.kernels import kernel_of
from tuner.search.frontier.quality_model import QualityModel

LIMIT = 0.02


def test_schedules_with_the_same_summary_are_distinguished_by_their_course() -> None:
    random = np.random.default_rng(0)
    summary = random.random((60, 2))
    late = random.integers(0, 2, 60).astype(float)
    points = np.column_stack([summary, np.where(late, 0, 0.5), np.where(late, 0.5, 0)])
    loss = 0.02 * summary[:, 0] + np.where(late, 0.005, 0.02)
    error = np.full(60, 0.0005)
    known, new = slice(0, 40), slice(40, 60)

    def mean_error(width: int, of: int | None) -> float:
        model = QualityModel(LIMIT, summary=of)
        model.fit(points[known, :width], loss[known], error[known])
        mean, _ = model.predict(points[new, :width])
        return float(np.abs(model.stretch(mean) - loss[new]).mean())

    assert mean_error(4, 2) < 0.002
    assert mean_error(2, None) > 0.004


def test_a_kernel_over_some_features_has_the_right_gradient() -> None:
    points = np.random.default_rng(0).random((7, 6))
    kernel = kernel_of(6, 3)
    matrix, gradient = kernel(points, eval_gradient=True)
    assert gradient.shape == (7, 7, len(kernel.theta))
    assert len(kernel.theta) == 1 + 3 + 1  # both sizes and the length scales of the summary
    for index in range(len(kernel.theta)):
        moved = clone(kernel)
        moved.theta = kernel.theta + 1e-6 * np.eye(len(kernel.theta))[index]
        assert (moved(points) - matrix) / 1e-6 == pytest.approx(gradient[:, :, index], abs=1e-4)


def test_without_a_course_all_features_are_of_the_summary() -> None:
    assert kernel_of(3, None) == kernel_of(3, 3)
    assert len(kernel_of(3, None).theta) == 1 + 3


def test_a_model_that_is_given_losses_knows_them_in_each_world_and_keeps_its_kernel() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((30, 2))
    model = QualityModel(LIMIT)
    model.fit(points, 0.04 * points[:, 0], np.full(30, 0.001))
    running = np.array([[1.5, 0.5], [0.5, 1.5]])
    worlds = model.sample(running, 3, rng)
    assert worlds.shape == (2, 3)
    assert not np.allclose(worlds[:, 0], worlds[:, 1])
    given = model.given(running, worlds)
    mean, deviation = given.predict(running)
    assert np.abs(mean - worlds).max() < 0.1
    assert deviation.max() < 0.2 * model.predict(running)[1].max()
    far, _ = given.predict(points)
    assert np.abs(far - model.predict(points)[0][:, None]).max() < 0.5
    # Before any loss is known, too.
    mean, _ = QualityModel(LIMIT).given(running, worlds).predict(running)
    assert np.abs(mean - worlds).max() < 0.1


def source(model: QualityModel, shift: float = 0.0) -> QualityModel:
    """The model with a source study that has measured some settings, whose losses are shifted."""
    points = np.random.default_rng(1).random((12, 2))
    loss = 0.04 * points[:, 0] + shift
    return model.warm_start(points, loss, np.full(12, 0.001))


def test_a_source_study_tells_what_it_has_measured_and_that_others_are_unknown() -> None:
    model = source(QualityModel(LIMIT))
    mean, deviation = model.predict(np.array([[0.2, 0.5], [0.8, 0.5], [8.0, 8.0]]))
    assert model.stretch(mean[:2]) == pytest.approx([0.008, 0.032], abs=0.004)
    near, far = deviation[:2].max(), deviation[2]
    assert near < 0.4 < far  # two studies differ, so that even the near ones are not certain
    assert near > 0.15


def test_own_losses_correct_those_of_a_source_study() -> None:
    model = source(QualityModel(LIMIT), shift=0.01)
    points = np.random.default_rng(2).random((6, 2))
    model.fit(points, 0.04 * points[:, 0], np.full(6, 0.001))
    mean, deviation = model.predict(np.array([[0.2, 0.5], [0.8, 0.5]]))
    assert model.stretch(mean) == pytest.approx([0.008, 0.032], abs=0.004)
    before = source(QualityModel(LIMIT), shift=0.01).predict(points)[1]
    assert deviation.max() < before.min()


def test_a_few_losses_of_a_source_study_do_not_determine_the_scales() -> None:
    """Four equal losses would be explained best by a loss that is the same everywhere."""
    points = np.array([[0.5, 0.5], [0.55, 0.5], [0.5, 0.55], [0.45, 0.5]])
    model = QualityModel(LIMIT).warm_start(points, np.full(4, 0.005), np.full(4, 0.002))
    _, deviation = model.predict(np.array([[0.5, 0.5], [3.0, 3.0]]))
    assert deviation[1] > 2 * deviation[0]


def test_of_many_losses_those_of_the_study_itself_count_before_those_of_its_source() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((140, 2))
    model = QualityModel(LIMIT).warm_start(points, 0.04 * points[:, 0], np.full(140, 0.001))
    model.fit(points[:40], 0.04 * points[:40, 0], np.full(40, 0.001))
    of_study = model._process.X_train_[:, -1]
    assert len(of_study) == 150
    assert of_study.sum() == 40
