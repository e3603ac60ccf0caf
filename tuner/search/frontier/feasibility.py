"""How probably settings keep the limits, by a model of the score loss and of each extra metric."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm

from tuner.search.frontier.context import Observation, SearchContext
from tuner.search.frontier.quality_model import QualityModel
from tuner.search.frontier.table import CandidateTable
from tuner.setting import Setting

SURE = float(norm.ppf(0.975))  # standard errors under its limit, where a verdict is sure
WORLDS = 8  # in which running trials have measured something, where there are any
NEAR = 2.0  # in units of `QualityModel.reach`: losses so near the limit have a typical error
MIN_NEAR = 3  # losses near the limit that are needed to know the typical error

Figure = tuple[Observation, float, float]  # a result, one of its figures, and its standard error


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A limit of an extra metric."""

    name: str
    limit: float
    above: bool  # the figure must be over the limit, not under it

    @property
    def sign(self) -> float:
        """The factor that turns the figure into one of which less is better."""
        return -1.0 if self.above else 1.0

    def figures(self, results: Sequence[Observation]) -> list[Figure]:
        """The metric's figures, less being better, of the results that have it."""
        return [
            (result, self.sign * result.others[self.name][0], result.others[self.name][1])
            for result in results
            if self.name in result.others
        ]


class Feasibility:
    """Models of the score loss and of the extra metrics, over the rows of a table.

    `warm_start` are the trials of a source study. `num_samples` are the prompts of a trial, and
    `max_samples` those of a setting at most. Predictions of rows are those of the last `fit`.
    """

    def __init__(
        self,
        context: SearchContext,
        table: CandidateTable,
        *,
        limit: float,
        bounds: Sequence[Bound],
        warm_start: Sequence[Observation],
        num_samples: int | None,
        max_samples: int | None,
        seed: int,
    ) -> None:
        self._context = context
        self._table = table
        self._limit = limit
        self._warm_start = warm_start
        self._num_samples = num_samples
        self._max_samples = max_samples
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._results: Sequence[Observation] = ()
        self._quality = self._model(limit, _losses(warm_start))
        self._bounds = [
            (bound, self._model(bound.sign * bound.limit, bound.figures(warm_start)))
            for bound in bounds
        ]

    def fit(self, results: Sequence[Observation], running: Sequence[Setting]) -> None:
        """Fit to results; then predict every row, in each world of what running trials measure."""
        self._results = results
        losses = _losses(results)
        if losses:
            self._fit(self._quality, losses)
        model = self._quality
        if running:
            points = self._table.points_of(running)
            model = model.given(points, model.sample(points, WORLDS, self._rng))
        mean, deviation = model.predict(self._table.points)
        self._mean = mean.reshape(len(mean), -1).T
        self._deviation = deviation.reshape(len(mean), -1).T[0]
        self._within_bounds = np.ones(len(self._table.settings))
        for bound, model in self._bounds:
            figures = bound.figures(results)
            if figures:
                self._fit(model, figures)
            mean, deviation = model.predict(self._table.points)
            self._within_bounds *= ndtr(-mean / deviation)

    def expected(self, settings: Sequence[Setting]) -> np.ndarray:
        """The expected score losses of settings, shape (settings,)."""
        mean, _ = self._quality.predict(self._table.points_of(settings))
        return self._quality.stretch(mean)

    def mean_losses(self) -> np.ndarray:
        """The expected score loss of each row, shape (worlds, rows)."""
        return self._quality.stretch(self._mean)

    def losses_at(self, quantiles: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """These quantiles of the score losses of rows, shape (worlds, rows, quantiles)."""
        deviations = self._deviation[rows, None] * norm.ppf(quantiles)
        return self._quality.stretch(self._mean[:, rows, None] + deviations)

    def within_bounds(self) -> np.ndarray:
        """The probability that a row keeps the limits of all extra metrics, shape (rows,)."""
        return self._within_bounds

    def surely_within_all(self) -> np.ndarray:
        """The probability that a row keeps all limits, the score loss's for sure.

        The shape is (worlds, rows).
        For sure means that the 95% interval at `max_samples` prompts lies under the limit.
        """
        threshold = self._quality.squeeze(np.array(self._limit - self._margin()))
        probability: np.ndarray = ndtr((threshold - self._mean) / self._deviation)
        return probability * self._within_bounds

    def _model(self, limit: float, figures: Sequence[Figure]) -> QualityModel:
        """A model whose prior mean is what a source study's figures predict, if there are any."""
        model = QualityModel(limit, seed=self._seed, summary=self._table.scale.summary)
        if not figures:
            return model
        reused = [
            self._context.reuse(result.setting) if result.reused is None else result.reused
            for result, _, _ in figures
        ]
        values, errors = np.array([numbers for _, *numbers in figures]).T
        return model.warm_start(self._table.scale(reused), values, errors)

    def _fit(self, model: QualityModel, figures: Sequence[Figure]) -> None:
        model.fit(
            self._table.points_of(result.setting for result, _, _ in figures),
            np.array([value for _, value, _ in figures]),
            np.array([error for _, _, error in figures]),
        )

    def _margin(self) -> float:
        """How far under its limit a score loss must be to be surely so at `max_samples` prompts.

        A setting whose verdict stays inconclusive is no good answer, and there may be many such.
        The margin follows from the standard errors of losses near the limit: first those of trials
        with at least half of `num_samples`, because fewer prompts misjudge their own scatter; then
        the source study's; then all.
        """
        half = (self._num_samples or 0) / 2
        for results, least in (
            (self._results, half),
            (self._warm_start, half),
            (self._results, 0.0),
        ):
            errors = [
                result.error * self._share(result) ** 0.5
                for result in results
                if abs(result.loss - self._limit) < NEAR * self._quality.reach
                and (result.prompts or least) >= least
            ]
            if len(errors) >= MIN_NEAR:
                return SURE * float(np.median(errors))
        return 0.0

    def _share(self, result: Observation) -> float:
        """The prompts of a result as a share of `max_samples`; 1 where either is unknown."""
        if not result.prompts or not self._max_samples:
            return 1.0
        return min(1.0, result.prompts / self._max_samples)


def _losses(results: Sequence[Observation]) -> list[Figure]:
    return [(result, result.loss, result.error) for result in results]
