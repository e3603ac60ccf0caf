"""The quality model's kernel: a smooth part over summaries, a rough one over the course."""

from typing import Any

import numpy as np
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern

COURSE = 0.45  # length scale of the course's features; `context.Scale` gives their unit


def kernel_of(features: int, summary: int | None) -> Kernel:
    """A smooth part over the first `summary` features, and a rough one over any others."""
    first = features if summary is None else summary
    smooth = Matern(np.ones(first), (0.5, 5.0), nu=2.5)
    kernel = ConstantKernel(1.0, (0.05, 20.0)) * FeatureSlice(smooth, 0, first)
    if first < features:
        rough = Matern(COURSE, "fixed", nu=2.5)
        kernel += ConstantKernel(0.1, (0.02, 1.0)) * FeatureSlice(rough, first, features)
    return kernel


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
