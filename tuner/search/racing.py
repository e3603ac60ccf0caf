"""Stopping a trial whose verdict is certain: the mean over a fixed set of prompts, part by part.

A trial is judged by the loss over its n prompts. After k of them in random order the mean over
all n is known up to a t interval with the finite population's factor; when its lower end is over
the limit, the other prompts change nothing.
"""

import numpy as np
from scipy.stats import t as student

CERTAINTY = 0.99  # one-sided, at each look
LEAST = 4  # prompts before the first look


def least_loss(baseline: np.ndarray, scores: np.ndarray, total: int) -> float:
    """The lower end of the loss over all `total` prompts, from the first ones, in random order.

    Minus infinity before there is enough to tell.
    """
    count = len(scores)
    if count < LEAST:
        return float("-inf")
    mean = float(baseline.mean())
    loss = float(1 - scores.sum() / baseline.sum())
    residuals = (baseline - scores) - loss * baseline
    error = float(residuals.std(ddof=1)) / mean / count**0.5 * max(0.0, 1 - count / total) ** 0.5
    least: float = loss - student.ppf(CERTAINTY, count - 1) * error
    return least


def hopeless(baseline: np.ndarray, scores: np.ndarray, total: int, limit: float) -> bool:
    """Whether a trial is certain to lose more than the limit."""
    return len(scores) < total and least_loss(baseline, scores, total) > limit
