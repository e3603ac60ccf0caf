"""What a figure is expected to be for settings that were not measured, and how surely."""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MOST = 150  # figures that a fit is made of; its time grows with their cube


@dataclass
class QualityModel:
    """A Gaussian process of the loss over what is reused, after Rasmussen and Williams (2006).

    It is the sum of a smooth one over the first `summary` features, with a length scale for each,
    and a rough one over the others, which follow a generation's course: two schedules that sum up
    alike may differ in when they reuse. The loss is squeezed around the limit, where it must be
    known, so that settings which ruin the picture do not rule the fit. Of many losses, those near
    the limit are learned and a sample of the others. With `before`, the losses of a related study,
    what is learned is the difference to them.
    """

    limit: float
    before: "QualityModel | None" = None
    seed: int = 0
    unit: float | None = None  # `reach`; the limit itself when None
    summary: int | None = None  # all features when None
    _process: Any = field(default=None, repr=False)
    _fitted: int = 0

    def squeeze(self, loss: np.ndarray) -> np.ndarray:
        """Nearly linear around the limit, logarithmic far away."""
        squeezed: np.ndarray = np.arcsinh((loss - self.limit) / self.reach)
        return squeezed

    def stretch(self, value: np.ndarray) -> np.ndarray:
        """What `squeeze` undoes."""
        loss: np.ndarray = np.sinh(value) * self.reach + self.limit
        return loss

    @property
    def reach(self) -> float:
        """How far from the limit squeezing begins."""
        return max(abs(self.limit), 0.005) if self.unit is None else self.unit

    def fit(self, points: np.ndarray, loss: np.ndarray, error: np.ndarray) -> None:
        """Learn from losses with their standard errors at these points, shape (n, features)."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor

        from tuner.search.frontier.kernels import kernel_of

        target = self.squeeze(loss) - self._prior(points)
        slope = 1 / np.hypot(self.reach, loss - self.limit)
        noise = np.maximum((error * slope) ** 2, 1e-4)
        again = len(loss) >= 1.2 * self._fitted or self._process is None
        told = telling(target)
        if again:
            kernel = kernel_of(points.shape[1], self.summary)
            self._fitted = len(loss)
        else:
            kernel = self._process.kernel_
        self._process = GaussianProcessRegressor(
            kernel,
            alpha=noise[told],
            optimizer="fmin_l_bfgs_b" if again and len(loss) >= 4 else None,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            # Of a scale at its bound, which says only that a feature does not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            # The prior's mean: a related study's prediction, or that a setting is at the limit.
            self._process.fit(points[told], target[told])

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the squeezed loss."""
        prior = self._prior(points)
        if self._process is None:
            return prior, np.ones(len(points))
        mean, deviation = self._process.predict(points, return_std=True)
        return mean + prior, np.maximum(deviation, 1e-6)

    def _prior(self, points: np.ndarray) -> np.ndarray:
        return np.zeros(len(points)) if self.before is None else self.before.predict(points)[0]


def telling(target: np.ndarray) -> np.ndarray:
    """The rows of up to `MOST` figures: the half nearest to zero, and an even share of the rest."""
    nearest = np.argsort(np.abs(target), kind="stable")
    if len(target) <= MOST:
        return nearest
    near, far = nearest[: MOST // 2], nearest[MOST // 2 :]
    evenly = np.linspace(0, len(far) - 1, MOST - len(near)).round().astype(int)
    return np.concatenate([near, far[evenly]])
