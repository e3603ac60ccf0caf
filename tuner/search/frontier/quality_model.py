"""Predicts a figure, such as the score loss, of settings that were not measured."""

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

LEAST_NOISE = 1e-4  # variance of a squeezed loss
MAX_TRAINING = 150  # figures that a fit uses; its time grows with their cube
FEW = 4  # figures from which the kernel's scales are fitted


@dataclass(frozen=True)
class Figures:
    """Squeezed losses with the variances of their noise, each of shape (n,); at (n, features)."""

    points: np.ndarray
    target: np.ndarray
    noise: np.ndarray

    def some(self, most: int) -> "Figures":
        """At most so many of them: `training_rows`."""
        rows = training_rows(self.target, most)
        return Figures(self.points[rows], self.target[rows], self.noise[rows])

    def of_study(self, number: int) -> "Figures":
        """With a feature that says which study they are of."""
        return replace(self, points=_with_feature(self.points, number))

    def and_those_of(self, other: "Figures") -> "Figures":
        """These, and then the others."""
        return Figures(
            np.vstack([self.points, other.points]),
            np.concatenate([self.target, other.target]),
            np.concatenate([self.noise, other.noise]),
        )


@dataclass
class QualityModel:
    """A Gaussian process of the loss over what a setting reuses (Rasmussen and Williams, 2006).

    Its kernel is the sum of a smooth one over the first `summary` features, with a length scale
    for each, and a rough one over the others, which follow the course of a generation: two
    schedules with the same summary may differ in when they reuse.

    Losses are squeezed around the limit (`squeeze`), where precision matters, so that settings
    which ruin the picture do not dominate the fit. Of many losses those near the limit are used,
    and a sample of the others. The figures of a `source` study are of the same process, to which
    this study adds a smooth difference (Swersky, Snoek and Adams, 2013).
    """

    limit: float
    source: Figures | None = None
    seed: int = 0
    unit: float | None = None  # `reach`; the limit itself when None
    summary: int | None = None  # all features when None
    _process: Any = field(default=None, repr=False)
    _fitted: int = 0  # own figures when the kernel was fitted last

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
        figures = self._figures(points, loss, error)
        own = figures.some(MAX_TRAINING)
        if self.source is not None:
            left = MAX_TRAINING - len(own.target)
            own = own.of_study(1).and_those_of(self.source.some(left).of_study(0))
        fits_kernel = self._process is None or len(loss) >= 1.2 * self._fitted
        self._fit(own, fits_kernel=fits_kernel)
        if fits_kernel:
            self._fitted = len(loss)

    def _figures(self, points: np.ndarray, loss: np.ndarray, error: np.ndarray) -> Figures:
        slope = 1 / np.hypot(self.reach, loss - self.limit)
        noise = np.maximum((error * slope) ** 2, LEAST_NOISE)
        return Figures(points, self.squeeze(loss), noise)

    def _fit(self, figures: Figures, *, fits_kernel: bool) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor

        from tuner.search.frontier.kernels import most_probable

        kernel = self._kernel(figures.points) if fits_kernel else self._process.kernel_
        # What a source study tells is to be known at once; without one, the next trials tell more.
        optimizer = "fmin_l_bfgs_b" if self.source is None else most_probable
        self._process = GaussianProcessRegressor(
            kernel,
            alpha=figures.noise,
            optimizer=optimizer if fits_kernel and len(figures.target) >= FEW else None,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            # A length scale at its bound: it says only that a feature does not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._process.fit(figures.points, figures.target)

    def _kernel(self, points: np.ndarray) -> Any:
        """The kernel over these points, which have a feature for the study where there are two."""
        from tuner.search.frontier.kernels import kernel_of, kernel_of_two

        if self.source is None:
            return kernel_of(points.shape[1], self.summary)
        return kernel_of_two(points.shape[1] - 1, self.summary)

    def sample(self, points: np.ndarray, worlds: int, rng: np.random.Generator) -> np.ndarray:
        """Squeezed losses that these points may turn out to have together, shape (n, worlds)."""
        points = self._of_this_study(points)
        process = self._process or self._unfitted(points)
        mean, covariance = process.predict(points, return_cov=True)
        values, directions = np.linalg.eigh(covariance)
        scale = directions * np.sqrt(np.maximum(values, 0.0))
        drawn = scale @ rng.standard_normal((len(points), worlds))
        sampled: np.ndarray = mean.reshape(-1, 1) + drawn
        return sampled

    def given(self, points: np.ndarray, values: np.ndarray) -> "QualityModel":
        """A model that also knows squeezed losses at points, shape (n, worlds).

        Its predictions have a column for each world. The kernel's scales stay as they are fitted.
        """
        from sklearn.gaussian_process import GaussianProcessRegressor

        points = self._of_this_study(points)
        process = self._process or self._unfitted(points)
        noise = np.full(len(points), LEAST_NOISE)
        if self._process is not None:
            known = np.repeat(process.y_train_[:, None], values.shape[1], axis=1)
            points = np.vstack([process.X_train_, points])
            values = np.vstack([known, values])
            noise = np.concatenate([process.alpha, noise])
        kernel = getattr(process, "kernel_", process.kernel)
        process = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)
        return replace(self, _process=process.fit(points, values))

    def _unfitted(self, points: np.ndarray) -> Any:
        """The process before any fit."""
        from sklearn.gaussian_process import GaussianProcessRegressor

        return GaussianProcessRegressor(self._kernel(points))

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the squeezed loss, each of shape (n,).

        Of a model that was `given` losses, of shape (n, worlds). Before any fit the mean is zero,
        which is the limit.
        """
        if self._process is None:
            return np.zeros(len(points)), np.ones(len(points))
        mean, deviation = self._process.predict(self._of_this_study(points), return_std=True)
        return mean, np.maximum(deviation, 1e-6)

    def _of_this_study(self, points: np.ndarray) -> np.ndarray:
        return points if self.source is None else _with_feature(points, 1)

    def warm_start(self, points: np.ndarray, loss: np.ndarray, error: np.ndarray) -> "QualityModel":
        """A new model that knows these losses of a source study."""
        model = replace(self, source=self._figures(points, loss, error), _process=None, _fitted=0)
        model.fit(points[:0], loss[:0], error[:0])
        return model


def _with_feature(points: np.ndarray, value: float) -> np.ndarray:
    return np.column_stack([points, np.full(len(points), value)])


def training_rows(target: np.ndarray, most: int = MAX_TRAINING) -> np.ndarray:
    """The rows of `most` figures: the half nearest to zero, and evenly of the rest.

    Of fewer figures all rows, the nearest to zero first.
    """
    nearest = np.argsort(np.abs(target), kind="stable")
    if len(target) <= most:
        return nearest
    near, far = nearest[: most // 2], nearest[most // 2 :]
    evenly = np.linspace(0, len(far) - 1, most - len(near)).round().astype(int)
    return np.concatenate([near, far[evenly]])
