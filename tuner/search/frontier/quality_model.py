"""Predicts a figure, such as the score loss, of settings that were not measured."""

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

LEAST_NOISE = 1e-4  # variance of a squeezed loss
MAX_TRAINING = 150  # figures that a fit uses; its time grows with their cube


@dataclass
class QualityModel:
    """A Gaussian process of the loss over what a setting reuses (Rasmussen and Williams, 2006).

    Its kernel is the sum of a smooth one over the first `summary` features, with a length scale
    for each, and a rough one over the others, which follow the course of a generation: two
    schedules with the same summary may differ in when they reuse.

    Losses are squeezed around the limit (`squeeze`), where precision matters, so that settings
    which ruin the picture do not dominate the fit. Of many losses those near the limit are used,
    and a sample of the others. With a `prior`, a model of a source study, what is modelled is the
    difference from its predictions.
    """

    limit: float
    prior: "QualityModel | None" = None
    seed: int = 0
    unit: float | None = None  # `reach`; the limit itself when None
    summary: int | None = None  # all features when None
    _process: Any = field(default=None, repr=False)
    _fitted: int = 0  # figures when the kernel was fitted last

    def squeeze(self, loss: np.ndarray) -> np.ndarray:
        """Transform losses: nearly linear around the limit, logarithmic far from it."""
        squeezed: np.ndarray = np.arcsinh((loss - self.limit) / self.reach)
        return squeezed

    def stretch(self, value: np.ndarray) -> np.ndarray:
        """The inverse of `squeeze`."""
        loss: np.ndarray = np.sinh(value) * self.reach + self.limit
        return loss

    @property
    def reach(self) -> float:
        """The distance from the limit at which `squeeze` turns logarithmic."""
        return max(abs(self.limit), 0.005) if self.unit is None else self.unit

    def fit(self, points: np.ndarray, loss: np.ndarray, error: np.ndarray) -> None:
        """Fit to losses, shape (n,), with their standard errors, at points of (n, features).

        The kernel's scales are fitted again only once there are a fifth more losses than the last
        time.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor

        from tuner.search.frontier.kernels import kernel_of

        target = self.squeeze(loss) - self._prior_mean(points)
        slope = 1 / np.hypot(self.reach, loss - self.limit)
        noise = np.maximum((error * slope) ** 2, LEAST_NOISE)
        fits_kernel = len(loss) >= 1.2 * self._fitted or self._process is None
        rows = training_rows(target)
        if fits_kernel:
            kernel = kernel_of(points.shape[1], self.summary)
            self._fitted = len(loss)
        else:
            kernel = self._process.kernel_
        self._process = GaussianProcessRegressor(
            kernel,
            alpha=noise[rows],
            optimizer="fmin_l_bfgs_b" if fits_kernel and len(loss) >= 4 else None,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            # A length scale at its bound: it says only that a feature does not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._process.fit(points[rows], target[rows])

    def sample(self, points: np.ndarray, worlds: int, rng: np.random.Generator) -> np.ndarray:
        """Squeezed losses that these points may turn out to have together, shape (n, worlds)."""
        prior = self._prior_mean(points)[:, None]
        process = self._process or self._unfitted(points)
        mean, covariance = process.predict(points, return_cov=True)
        values, directions = np.linalg.eigh(covariance)
        scale = directions * np.sqrt(np.maximum(values, 0.0))
        drawn = scale @ rng.standard_normal((len(points), worlds))
        sampled: np.ndarray = prior + mean.reshape(-1, 1) + drawn
        return sampled

    def given(self, points: np.ndarray, values: np.ndarray) -> "QualityModel":
        """A model that also knows squeezed losses at points, shape (n, worlds).

        Its predictions have a column for each world. The kernel's scales stay as they are fitted.
        """
        from sklearn.gaussian_process import GaussianProcessRegressor

        process = self._process or self._unfitted(points)
        assumed = values - self._prior_mean(points)[:, None]
        noise = np.full(len(points), LEAST_NOISE)
        if self._process is not None:
            known = np.repeat(process.y_train_[:, None], values.shape[1], axis=1)
            points = np.vstack([process.X_train_, points])
            assumed = np.vstack([known, assumed])
            noise = np.concatenate([process.alpha, noise])
        kernel = getattr(process, "kernel_", process.kernel)
        process = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)
        return replace(self, _process=process.fit(points, assumed))

    def _unfitted(self, points: np.ndarray) -> Any:
        """The process before any fit."""
        from sklearn.gaussian_process import GaussianProcessRegressor

        from tuner.search.frontier.kernels import kernel_of

        return GaussianProcessRegressor(kernel_of(points.shape[1], self.summary))

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the squeezed loss, each of shape (n,).

        Of a model that was `given` losses, of shape (n, worlds).
        """
        prior = self._prior_mean(points)
        if self._process is None:
            return prior, np.ones(len(points))
        mean, deviation = self._process.predict(points, return_std=True)
        if mean.ndim == 2:
            prior = prior[:, None]
        return mean + prior, np.maximum(deviation, 1e-6)

    def warm_start(self, points: np.ndarray, loss: np.ndarray, error: np.ndarray) -> "QualityModel":
        """A new model whose prior mean is this one's prediction, once fitted to these losses."""
        self.fit(points, loss, error)
        return QualityModel(self.limit, self, seed=self.seed, unit=self.unit, summary=self.summary)

    def _prior_mean(self, points: np.ndarray) -> np.ndarray:
        """The squeezed loss that is expected before any fit; zero, which is the limit, at first."""
        return np.zeros(len(points)) if self.prior is None else self.prior.predict(points)[0]


def training_rows(target: np.ndarray) -> np.ndarray:
    """The rows of `MAX_TRAINING` figures: the half nearest to zero, and evenly of the rest.

    Of fewer figures all rows, the nearest to zero first.
    """
    nearest = np.argsort(np.abs(target), kind="stable")
    if len(target) <= MAX_TRAINING:
        return nearest
    near, far = nearest[: MAX_TRAINING // 2], nearest[MAX_TRAINING // 2 :]
    evenly = np.linspace(0, len(far) - 1, MAX_TRAINING - len(near)).round().astype(int)
    return np.concatenate([near, far[evenly]])
