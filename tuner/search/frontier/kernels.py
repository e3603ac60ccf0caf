"""The quality model's kernel: a smooth part over summaries, a rough one over the course."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Kernel, Matern

LENGTH = 1.5  # length scale of a scaled feature, where a few losses do not determine it
COURSE = 0.45  # length scale of the course's features; `context.Scale` gives their unit
PRIOR = 0.5  # standard deviation of the logarithm of a scale, before any loss is known
DIFFERENCE = 0.05  # variance of the difference between two studies, before any of it is known


def kernel_of(features: int, summary: int | None, length: float = 1.0) -> Kernel:
    """A smooth part over the first `summary` features, and a rough one over any others."""
    first = features if summary is None else summary
    smooth = Matern(np.full(first, length), (0.5, 5.0), nu=2.5)
    kernel = ConstantKernel(1.0, (0.05, 20.0)) * FeatureSlice(smooth, 0, first)
    if first < features:
        rough = Matern(COURSE, "fixed", nu=2.5)
        kernel += ConstantKernel(0.1, (0.02, 1.0)) * FeatureSlice(rough, first, features)
    return kernel


def kernel_of_two(features: int, summary: int | None) -> Kernel:
    """That of a study and a source study: one kernel of both, and one of what differs in the study.

    The feature after the others is 1 in the study and 0 in the source study.
    """
    first = features if summary is None else summary
    smooth = FeatureSlice(Matern(2.0, "fixed", nu=2.5), 0, first)
    of_study = FeatureSlice(DotProduct(0.0, "fixed"), features, features + 1)
    difference = ConstantKernel(DIFFERENCE, (0.01, 2.0)) * smooth * of_study
    return kernel_of(features, first, LENGTH) + difference


def most_probable(
    objective: Callable[..., Any], first: np.ndarray, bounds: np.ndarray
) -> tuple[np.ndarray, float]:
    """The most probable scales of a kernel, as an optimizer of `GaussianProcessRegressor`.

    A few losses would be explained best by scales that are far off, which then predict that losses
    are the same everywhere or known nowhere. So each scale has a log-normal prior around its
    `first` value (maximum a posteriori, Rasmussen and Williams, 2006, section 5.4).
    """
    from scipy.optimize import minimize

    def penalised(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective(theta)
        away = (theta - first) / PRIOR
        return value + away @ away / 2, gradient + away / PRIOR

    found = minimize(penalised, first, jac=True, bounds=bounds, method="L-BFGS-B")
    return found.x, found.fun


class FeatureSlice(Kernel):  # type: ignore[misc]
    """A kernel over the features from `start` to before `stop`, by another kernel."""

    def __init__(self, kernel: Kernel, start: int, stop: int) -> None:
        self.kernel = kernel
        self.start = start
        self.stop = stop

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Its arguments, and those of its kernel, in the form that scikit-learn expects."""
        inner = self.kernel.get_params().items() if deep else ()
        own = {"kernel": self.kernel, "start": self.start, "stop": self.stop}
        return own | {f"kernel__{name}": value for name, value in inner}

    @property
    def hyperparameters(self) -> list[Any]:
        """Those of its kernel."""
        hyperparameters: list[Any] = self.kernel.hyperparameters
        return hyperparameters

    @property
    def theta(self) -> np.ndarray:
        """The logarithms of its kernel's hyperparameters."""
        theta: np.ndarray = self.kernel.theta
        return theta

    @theta.setter
    def theta(self, theta: np.ndarray) -> None:
        self.kernel.theta = theta

    @property
    def bounds(self) -> np.ndarray:
        """The bounds of `theta`, shape (hyperparameters, 2)."""
        bounds: np.ndarray = self.kernel.bounds
        return bounds

    def __call__(
        self,
        X: np.ndarray,  # noqa: N803
        Y: np.ndarray | None = None,  # noqa: N803
        eval_gradient: bool = False,
    ) -> Any:
        """The kernel matrix; with `eval_gradient` a pair of it and its gradient by `theta`."""
        return self.kernel(
            self._features(X), None if Y is None else self._features(Y), eval_gradient
        )

    def diag(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """The diagonal of the kernel matrix, shape (n,)."""
        diagonal: np.ndarray = self.kernel.diag(self._features(X))
        return diagonal

    def is_stationary(self) -> bool:
        """Whether its kernel is."""
        return bool(self.kernel.is_stationary())

    def _features(self, points: np.ndarray) -> np.ndarray:
        return points[:, self.start : self.stop]
