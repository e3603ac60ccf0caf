"""Predicts how certain a score loss will be after some prompts, before it is measured."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tuner.search.frontier.context import Observation
from tuner.search.frontier.quality_model import MAX_TRAINING

SPREAD = 0.25  # variance of the logarithm of settings' standard errors
MISJUDGED = 2.0  # variance of the logarithm of one that is estimated from one prompt


class ErrorModel:
    """A Gaussian process of the scatter that a setting's losses have from prompt to prompt.

    Settings that change the pictures little have losses that scatter little, so that few prompts
    suffice to be certain of them. What is modelled is the logarithm of the standard error of the
    loss over one prompt, by the first `summary` features of a setting.
    """

    def __init__(self, summary: int) -> None:
        self._summary = summary
        self._process: Any = None
        self._mean = 0.0

    def fit(self, points: np.ndarray, results: Sequence[Observation]) -> None:
        """Fit to results, whose features have the shape (n, features)."""
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern

        from tuner.search.frontier.kernels import LENGTH

        prompts = np.array([result.prompts or 0 for result in results], dtype=float)
        errors = np.array([result.error for result in results])
        known = np.flatnonzero((prompts > 1) & (errors > 0))
        rows = known[np.argsort(-prompts[known], kind="stable")[:MAX_TRAINING]]
        self._process = None
        if len(rows):
            target = np.log(errors[rows] * prompts[rows] ** 0.5)
            self._mean = float(np.average(target, weights=prompts[rows]))
            kernel = ConstantKernel(SPREAD) * Matern(LENGTH, nu=2.5)
            process = GaussianProcessRegressor(
                kernel, alpha=MISJUDGED / prompts[rows], optimizer=None
            )
            self._process = process.fit(points[rows, : self._summary], target - self._mean)

    def errors(self, points: np.ndarray, prompts: int) -> np.ndarray:
        """The standard errors of losses over so many prompts, shape (n,); zero before any fit."""
        if self._process is None:
            return np.zeros(len(points))
        logarithms = self._mean + self._process.predict(points[:, : self._summary])
        errors: np.ndarray = np.exp(logarithms) / prompts**0.5
        return errors
