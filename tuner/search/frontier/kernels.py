"""What losses have in common: a kernel over what sums a generation up and over its course."""

from typing import Any

import numpy as np
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern

COURSE = 0.45  # the length scale of the course, in kinds of reuse that differ throughout


def kernel_of(features: int, summary: int | None) -> Kernel:
    """A smooth part over the first `summary` features; where there are others, a rough one."""
    first = features if summary is None else summary
    smooth = Matern(np.ones(first), (0.5, 5.0), nu=2.5)
    found = ConstantKernel(1.0, (0.05, 20.0)) * Some(smooth, 0, first)
    if first < features:
        rough = Matern(COURSE, "fixed", nu=2.5)
        found += ConstantKernel(0.1, (0.02, 1.0)) * Some(rough, first, features)
    return found


class Some(Kernel):  # type: ignore[misc]
    """A kernel of the features from `start` to `stop`."""

    def __init__(self, kernel: Kernel, start: int, stop: int) -> None:
        self.kernel = kernel
        self.start = start
        self.stop = stop

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Its arguments, and those of its kernel, as scikit-learn asks for them."""
        inner = self.kernel.get_params().items() if deep else ()
        found = {"kernel": self.kernel, "start": self.start, "stop": self.stop}
        return found | {f"kernel__{name}": value for name, value in inner}

    @property
    def hyperparameters(self) -> list[Any]:
        """Those of its kernel."""
        found: list[Any] = self.kernel.hyperparameters
        return found

    @property
    def theta(self) -> np.ndarray:
        """Those of its kernel, as logarithms."""
        found: np.ndarray = self.kernel.theta
        return found

    @theta.setter
    def theta(self, theta: np.ndarray) -> None:
        self.kernel.theta = theta

    @property
    def bounds(self) -> np.ndarray:
        """Of `theta`."""
        found: np.ndarray = self.kernel.bounds
        return found

    def __call__(
        self,
        X: np.ndarray,  # noqa: N803
        Y: np.ndarray | None = None,  # noqa: N803
        eval_gradient: bool = False,
    ) -> Any:
        """The kernel's matrix, and with `eval_gradient` its gradient beside it."""
        return self.kernel(self._of(X), None if Y is None else self._of(Y), eval_gradient)

    def diag(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """The diagonal of its matrix."""
        found: np.ndarray = self.kernel.diag(self._of(X))
        return found

    def is_stationary(self) -> bool:
        """As its kernel."""
        return bool(self.kernel.is_stationary())

    def _of(self, points: np.ndarray) -> np.ndarray:
        return points[:, self.start : self.stop]
