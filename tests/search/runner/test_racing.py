"""A trial is stopped when its verdict is certain, and only then."""

import numpy as np
import pytest

from bench.search.racing import RULES, Figures, simulated
from tuner.measure import statistics
from tuner.measure.statistics import Estimate
from tuner.search.runner.racing import BEHIND, LEAST, MISSED, PARTS, due, whole

PROMPTS = 32
LIMIT = 0.02


def trial(loss: float, seed: int, spread: float = 2.0) -> tuple[list[float], list[float]]:
    """Scores of a baseline and of a setting that truly loses about so much."""
    random = np.random.default_rng(seed)
    before = random.normal(30, 3, PROMPTS)
    after = before * (1 - loss) + random.normal(0, spread, PROMPTS)
    return before.tolist(), after.tolist()


def stopped_after(before: list[float], after: list[float]) -> int:
    """Prompts until the trial is stopped; all where it is not."""
    for count in range(4, PROMPTS, 4):
        estimate = statistics.score_loss(before[:count], after[:count])
        if whole(estimate, count, PROMPTS).low > LIMIT:
            return count
    return PROMPTS


def test_a_bad_setting_shows_it_in_a_few_prompts() -> None:
    found = [stopped_after(*trial(0.10, seed)) for seed in range(300)]
    assert np.mean(found) < 0.4 * PROMPTS


@pytest.mark.parametrize("name", ["normal", "exponential"])
@pytest.mark.parametrize("scatter", [0.02, 0.05, 0.10])
def test_trials_that_would_keep_a_limit_are_hardly_ever_stopped_even_close_to_it(
    name: str, scatter: float
) -> None:
    for loss in (0.002, 0.015, 0.017, 0.019):
        drawn = simulated(name, loss, scatter, draws=3000)
        assert drawn.kept.sum() > 1500
        for batch in (1, 2, 3, 4, 5, 8):
            assert Figures.of(drawn, RULES["now"], batch).wrongly <= 0.027


def test_a_trial_is_looked_at_seven_times_whatever_its_batches() -> None:
    for total in (16, 20, 32, 50, 128):
        for batch in range(1, 10):
            counts = [*range(batch, total, batch)]
            looks = [count for count in counts if due(count - batch, count, total)]
            assert len(looks) == min(len(counts), PARTS - 1) or batch * PARTS > total
            assert len(looks) < PARTS


def test_the_end_away_from_a_skew_is_drawn_in() -> None:
    even = whole(Estimate(value=0.10, low=0.06, high=0.14), 8, PROMPTS)
    skewed = whole(Estimate(value=0.10, low=0.06, high=0.18), 8, PROMPTS)
    assert even.low < skewed.low < 0.10
    mirrored = whole(Estimate(value=0.10, low=0.02, high=0.14), 8, PROMPTS)
    assert 0.10 < mirrored.high < even.high
    exact = whole(Estimate(value=0.10, low=0.10, high=0.10), 8, PROMPTS)
    assert exact.low == exact.high == 0.10


def test_more_certainty_is_asked_of_being_behind_than_of_missing_a_limit() -> None:
    estimate = Estimate(value=0.10, low=0.06, high=0.14)
    missed, behind = whole(estimate, 8, PROMPTS, MISSED), whole(estimate, 8, PROMPTS, BEHIND)
    assert behind.low < missed.low < estimate.value


def test_the_more_prompts_are_known_the_nearer_are_the_bounds() -> None:
    estimate = Estimate(value=0.10, low=0.06, high=0.14)
    found = [whole(estimate, count, PROMPTS) for count in (8, 16, 31)]
    below, above = [interval.low for interval in found], [interval.high for interval in found]
    assert below == sorted(below)
    assert above == sorted(above, reverse=True)
    assert below[-1] < estimate.value < above[-1]
    everything = whole(estimate, PROMPTS, PROMPTS)
    assert everything.low == everything.high == 0.10


def test_before_there_is_enough_to_tell_nothing_is_certain() -> None:
    estimate = Estimate(value=0.10, low=0.09, high=0.11)
    found = whole(estimate, LEAST - 1, PROMPTS)
    assert (found.low, found.high) == (float("-inf"), float("inf"))


def test_the_bounds_are_alike_on_both_sides() -> None:
    estimate = Estimate(value=0.10, low=0.06, high=0.14)
    found = whole(estimate, 8, PROMPTS)
    assert found.high - estimate.value == pytest.approx(estimate.value - found.low)
