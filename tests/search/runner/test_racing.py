"""A trial is stopped when its verdict is certain, and only then."""

import numpy as np
import pytest

from bench.search.racing import RULES, Figures, simulated
from tuner.measure import statistics
from tuner.measure.statistics import Estimate
from tuner.search.runner.racing import BEHIND, LEAST, MISSED, PARTS, is_look_due, over_all_prompts

PROMPTS = 32
LIMIT = 0.02


def trial(loss: float, seed: int, spread: float = 2.0) -> tuple[list[float], list[float]]:
    """Scores of a baseline, and of a setting whose true loss is about `loss`."""
    rng = np.random.default_rng(seed)
    before = rng.normal(30, 3, PROMPTS)
    after = before * (1 - loss) + rng.normal(0, spread, PROMPTS)
    return before.tolist(), after.tolist()


def stopped_after(before: list[float], after: list[float]) -> int:
    """After how many prompts the trial is stopped; `PROMPTS` where it is not."""
    for count in range(4, PROMPTS, 4):
        estimate = statistics.score_loss(before[:count], after[:count])
        if over_all_prompts(estimate, count, PROMPTS).low > LIMIT:
            return count
    return PROMPTS


def test_a_bad_setting_is_stopped_after_a_few_prompts() -> None:
    prompts = [stopped_after(*trial(0.10, seed)) for seed in range(300)]
    assert np.mean(prompts) < 0.4 * PROMPTS


@pytest.mark.parametrize("name", ["normal", "exponential"])
@pytest.mark.parametrize("scatter", [0.02, 0.05, 0.10])
def test_trials_that_would_meet_a_limit_are_hardly_ever_stopped_even_close_to_it(
    name: str, scatter: float
) -> None:
    for loss in (0.002, 0.015, 0.017, 0.019):
        drawn = simulated(name, loss, scatter, draws=3000)
        assert drawn.keep_limit.sum() > 1500
        for batch in (1, 2, 3, 4, 5, 8):
            assert Figures.of(drawn, RULES["now"], batch).wrongly <= 0.027


def test_a_trial_is_looked_at_seven_times_whatever_the_batch_size() -> None:
    for total in (16, 20, 32, 50, 128):
        for batch in range(1, 10):
            counts = [*range(batch, total, batch)]
            looks = [count for count in counts if is_look_due(count - batch, count, total)]
            assert len(looks) == min(len(counts), PARTS - 1) or batch * PARTS > total
            assert len(looks) < PARTS


def test_the_end_of_the_interval_away_from_a_skew_is_moved_inwards() -> None:
    even = over_all_prompts(Estimate(value=0.10, low=0.06, high=0.14), 8, PROMPTS)
    skewed = over_all_prompts(Estimate(value=0.10, low=0.06, high=0.18), 8, PROMPTS)
    assert even.low < skewed.low < 0.10
    mirrored = over_all_prompts(Estimate(value=0.10, low=0.02, high=0.14), 8, PROMPTS)
    assert 0.10 < mirrored.high < even.high
    exact = over_all_prompts(Estimate(value=0.10, low=0.10, high=0.10), 8, PROMPTS)
    assert exact.low == exact.high == 0.10


def test_being_behind_a_rival_needs_more_certainty_than_missing_a_limit() -> None:
    estimate = Estimate(value=0.10, low=0.06, high=0.14)
    missed, behind = (
        over_all_prompts(estimate, 8, PROMPTS, MISSED),
        over_all_prompts(estimate, 8, PROMPTS, BEHIND),
    )
    assert behind.low < missed.low < estimate.value


def test_the_interval_shrinks_with_every_prompt_that_is_known() -> None:
    estimate = Estimate(value=0.10, low=0.06, high=0.14)
    intervals = [over_all_prompts(estimate, count, PROMPTS) for count in (8, 16, 31)]
    below, above = (
        [interval.low for interval in intervals],
        [interval.high for interval in intervals],
    )
    assert below == sorted(below)
    assert above == sorted(above, reverse=True)
    assert below[-1] < estimate.value < above[-1]
    exact = over_all_prompts(estimate, PROMPTS, PROMPTS)
    assert exact.low == exact.high == 0.10


def test_with_too_few_prompts_the_interval_is_unbounded() -> None:
    estimate = Estimate(value=0.10, low=0.09, high=0.11)
    interval = over_all_prompts(estimate, LEAST - 1, PROMPTS)
    assert (interval.low, interval.high) == (float("-inf"), float("inf"))


def test_the_interval_of_a_symmetric_estimate_is_symmetric() -> None:
    estimate = Estimate(value=0.10, low=0.06, high=0.14)
    interval = over_all_prompts(estimate, 8, PROMPTS)
    assert interval.high - estimate.value == pytest.approx(estimate.value - interval.low)
