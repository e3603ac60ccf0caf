"""The model of how certain a loss will be after some prompts."""

import numpy as np
import pytest

from tuner.search.frontier.context import Observation
from tuner.search.frontier.error_model import ErrorModel
from tuner.setting import Setting


def observed(scatter: float, prompts: int) -> Observation:
    """A result whose losses scatter that much from prompt to prompt."""
    return Observation(setting=Setting(), loss=0.01, error=scatter / prompts**0.5, prompts=prompts)


def test_it_tells_settings_apart_whose_losses_scatter_differently() -> None:
    points = np.array([[0.0, 0.5], [0.1, 0.5], [0.9, 0.5], [1.0, 0.5]])
    results = [observed(scatter, 32) for scatter in (0.02, 0.02, 0.08, 0.08)]
    model = ErrorModel(2)
    model.fit(points, results)
    calm, wild = model.errors(np.array([[0.05, 0.5], [0.95, 0.5]]), 32)
    assert calm == pytest.approx(0.02 / 32**0.5, rel=0.4)
    assert wild == pytest.approx(0.08 / 32**0.5, rel=0.4)


def test_more_prompts_make_a_loss_more_certain() -> None:
    points = np.array([[0.0], [1.0]])
    model = ErrorModel(1)
    model.fit(points, [observed(0.05, 32), observed(0.05, 64)])
    assert model.errors(points, 128) == pytest.approx(0.5 * model.errors(points, 32))
    assert model.errors(points, 32) == pytest.approx(0.05 / 32**0.5, rel=0.05)


def test_few_prompts_misjudge_their_scatter_and_count_less() -> None:
    points = np.array([[0.0], [0.0]])
    model = ErrorModel(1)
    model.fit(points, [observed(0.01, 4), observed(0.05, 64)])
    assert model.errors(points[:1], 32)[0] > 0.8 * 0.05 / 32**0.5


def test_before_any_result_of_several_prompts_nothing_is_known() -> None:
    points = np.array([[0.0], [1.0]])
    model = ErrorModel(1)
    assert not model.errors(points, 32).any()
    model.fit(points, [observed(0.1, 1), Observation(setting=Setting(), loss=0.0, error=0.1)])
    assert not model.errors(points, 32).any()
