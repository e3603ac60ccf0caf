"""Confidence intervals have their nominal coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from tuner.measure import statistics


def prompts(rng: np.random.Generator, count: int, loss: float) -> tuple[list[float], list[float]]:
    """Scores like CLIP's: they vary over the prompts, and so does the paired loss."""
    before = rng.normal(30, 4, count)
    after = before * (1 - loss) + rng.normal(0, 1.5, count)
    return before.tolist(), after.tolist()


def test_the_interval_of_a_loss_agrees_with_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    before, after = prompts(rng, 400, 0.03)
    estimate = statistics.score_loss(before, after)
    assert estimate.value == pytest.approx(1 - sum(after) / sum(before))
    picks = rng.integers(0, 400, (4000, 400))
    drawn = 1 - np.asarray(after)[picks].sum(1) / np.asarray(before)[picks].sum(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    width = high - low
    assert estimate.low == pytest.approx(low, abs=0.08 * width)
    assert estimate.high == pytest.approx(high, abs=0.08 * width)


@pytest.mark.parametrize("count", [8, 32])
def test_19_of_20_intervals_of_a_loss_cover_the_true_value(count: int) -> None:
    rng = np.random.default_rng(count)
    covered = []
    for _ in range(2000):
        estimate = statistics.score_loss(*prompts(rng, count, 0.03))
        covered.append(estimate.low <= 0.03 <= estimate.high)
    assert 0.93 <= sum(covered) / len(covered) <= 0.97


def test_intervals_cover_a_loss_that_is_due_to_a_few_prompts() -> None:
    rng = np.random.default_rng(3)
    covered, plain = [], []
    for _ in range(2000):
        before = rng.normal(30, 4, 32)
        after = before * (1 - 0.03 * rng.lognormal(-0.72, 1.2, 32))  # 3% on average
        estimate = statistics.score_loss(before.tolist(), after.tolist())
        covered.append(estimate.low <= 0.03 <= estimate.high)
        plain.append(estimate.low <= 0.03 <= 2 * estimate.value - estimate.low)
    assert sum(plain) / len(plain) + 0.02 < sum(covered) / len(covered)
    assert 0.90 <= sum(covered) / len(covered) <= 0.97


@pytest.mark.parametrize("count", [3, 8])
def test_19_of_20_intervals_of_a_speedup_cover_the_true_value(count: int) -> None:
    rng = np.random.default_rng(count)
    covered = []
    for _ in range(2000):
        estimate = statistics.speedup(np.exp(rng.normal(np.log(2), 0.1, count)).tolist())
        covered.append(estimate.low <= 2 <= estimate.high)
    assert 0.93 <= sum(covered) / len(covered) <= 0.98


def test_the_speedup_is_the_median_ratio() -> None:
    estimate = statistics.speedup([2.0, 1.9, 50.0])
    assert estimate.value == pytest.approx(2.0)
    assert estimate.low < 2 < estimate.high
    certain = statistics.speedup([3.0, 3.0, 3.0])
    assert (certain.low, certain.value, certain.high) == pytest.approx((3, 3, 3))
    single = statistics.speedup([1.5])
    assert (single.low, single.high) == (0, float("inf"))
    assert single.value == pytest.approx(1.5)


@pytest.mark.parametrize("count", [8, 32])
def test_19_of_20_intervals_of_a_mean_cover_the_true_value(count: int) -> None:
    rng = np.random.default_rng(count)
    covered = []
    for _ in range(2000):
        estimate = statistics.mean(rng.normal(0.3, 0.1, count).tolist())
        covered.append(estimate.low <= 0.3 <= estimate.high)
    assert 0.93 <= sum(covered) / len(covered) <= 0.97


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=9))
def test_swapping_baseline_and_candidate_inverts_the_speedup(ratios: list[float]) -> None:
    speedup, inverse = statistics.speedup(ratios), statistics.speedup([1 / r for r in ratios])
    assert speedup.value == pytest.approx(1 / inverse.value)


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_a_share_has_the_exact_interval(outcomes: list[bool]) -> None:
    estimate = statistics.share(outcomes)
    expected = binomtest(sum(outcomes), len(outcomes)).proportion_ci(0.95, method="exact")
    assert estimate.value == sum(outcomes) / len(outcomes)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
