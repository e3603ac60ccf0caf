"""The contract of a metric; each other file of this folder is one metric.

There are two kinds. A `Metric` scores a picture by its prompt; the model's own metric gives the
score, and the score loss is the second direction of a study. A `Comparison` compares a picture
with the baseline's. Besides the score, a study may report any number of extra metrics of both
kinds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Metric(Protocol):
    """Scores pictures by their prompts; higher is better.

    `identity` names everything that changes the scores: the metric, its model, a digest of its
    weights and, unless it is float32, the precision. It is part of the database keys under which
    baselines are cached and of what distinguishes studies, so that scores of different weights are
    never mixed.
    """

    identity: str

    def score(self, images: list[Any], prompts: list[str]) -> list[float]:
        """One score for each picture (`PIL.Image`) and its prompt."""


class Comparison(Protocol):
    """Compares pictures with the baseline's pictures of the same prompts and noise.

    `identity` names everything that changes the results, as in `Metric`. It is part of what
    distinguishes studies.
    """

    identity: str

    def compare(self, images: list[Any], baseline: list[Any]) -> list[float]:
        """One number for each picture (`PIL.Image`) and the baseline's picture of the same size."""


@dataclass(frozen=True, kw_only=True)
class MetricKind:
    """A metric under its name; the packages that it needs are imported when it is loaded.

    As an extra metric it gives one figure, a mean over the prompts. The figure of a `Comparison`
    is the mean of its numbers. The figure of a `Metric` (such as a reward model) is the mean drop
    from the baseline's score, in the metric's own points: a reward may be zero or negative, so a
    relative loss would be meaningless.
    """

    name: str
    load: Callable[..., Any]  # takes `device` and the metric's own options
    compares: bool = False  # whether it is a `Comparison`; otherwise it is a `Metric`
    above: bool = False  # whether higher is better: a limit is then a minimum, not a maximum
    equal: float = 0.0  # the figure of pictures that are equal to the baseline's
    # Where its weights are by default, for `tuner doctor`:
    repositories: tuple[str, ...] = ()  # of a model hub
    checkpoints: tuple[str, ...] = ()  # files in torch's folder of checkpoints

    @property
    def figure(self) -> str:
        """The name of its figure: 'lpips', 'pickscore drop'."""
        return self.name if self.compares else f"{self.name} drop"

    def __call__(self, *, device: str, pictures_from: str | None = None, **options: str) -> Any:
        """Load the metric.

        Args:
            device: where it computes.
            pictures_from: the device that generates the pictures; `device` when None. Scores of
                the same pictures differ slightly between a CPU and a GPU, so where the two devices
                are of different types, the metric's identity ends with its own: ' on cpu'.
            options: the metric's own.

        Raises:
            UsageError: a package or the weights are missing.
        """
        metric = self.load(device=device, **options)
        kind = device.split(":")[0]
        if pictures_from is not None and pictures_from.split(":")[0] != kind:
            metric.identity += f" on {kind}"
        return metric
