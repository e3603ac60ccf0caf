"""A trial is stopped when its verdict is certain, and only then."""

import numpy as np

from tuner.measure import statistics
from tuner.search.racing import LEAST, hopeless, least_loss

PROMPTS = 32
LIMIT = 0.02


def trial(loss: float, seed: int, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a baseline and of a setting that truly loses about so much."""
    random = np.random.default_rng(seed)
    before = random.normal(30, 3, PROMPTS)
    return before, before * (1 - loss) + random.normal(0, spread, PROMPTS)


def stopped_after(before: np.ndarray, after: np.ndarray) -> int:
    """Prompts until the trial is stopped; all where it is not."""
    for count in range(4, PROMPTS, 4):
        if hopeless(before[:count], after[:count], PROMPTS, LIMIT):
            return count
    return PROMPTS


def test_a_bad_setting_shows_it_in_a_few_prompts() -> None:
    found = [stopped_after(*trial(0.10, seed)) for seed in range(300)]
    assert np.mean(found) < 0.4 * PROMPTS


def test_feasible_trials_are_hardly_ever_stopped() -> None:
    feasible = stopped = 0
    for seed in range(3000):
        before, after = trial(0.015, seed)
        if statistics.score_loss(before.tolist(), after.tolist()).value < LIMIT:
            feasible += 1
            stopped += stopped_after(before, after) < PROMPTS
    assert feasible > 1500
    assert stopped / feasible <= 0.03


def test_the_more_prompts_are_known_the_nearer_is_the_bound() -> None:
    before, after = trial(0.10, 1)
    loss = 1 - after.sum() / before.sum()
    bounds = [least_loss(before[:count], after[:count], PROMPTS) for count in (8, 16, 31, 32)]
    assert bounds[-1] == loss  # nothing is left to chance
    assert bounds[2] < loss
    assert least_loss(before[: LEAST - 1], after[: LEAST - 1], PROMPTS) == float("-inf")


def test_a_trial_with_all_its_prompts_is_not_stopped() -> None:
    before, after = trial(0.5, 0)
    assert hopeless(before[:8], after[:8], PROMPTS, LIMIT)
    assert not hopeless(before, after, PROMPTS, LIMIT)
