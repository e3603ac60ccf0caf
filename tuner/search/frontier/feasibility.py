"""How probably settings keep the limits, by a model of the score loss and of each extra metric."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm

from tuner.plans.features import Reuse
from tuner.search.frontier.context import Observation, SearchContext
from tuner.search.frontier.error_model import ErrorModel
from tuner.search.frontier.quality_model import QualityModel
from tuner.search.frontier.table import CandidateTable
from tuner.setting import Setting

SURE = float(norm.ppf(0.975))  # standard errors under its limit, where a verdict is sure
WORLDS = 8  # in which running trials have measured something, where there are any

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
        self._errors = ErrorModel(table.scale.summary)
        self._warm_points = table.scale(self._reused(warm_start)) if warm_start else None
        self._quality = self._model(limit, _losses(warm_start))
        self._bounds = [
            (bound, self._model(bound.sign * bound.limit, bound.figures(warm_start)))
            for bound in bounds
        ]

    def fit(self, results: Sequence[Observation], running: Sequence[Setting]) -> None:
        """Fit to results, in each world of what running trials measure; then predict every row."""
        points = self._table.points_of(result.setting for result in results)
        if self._warm_points is not None:
            points = np.vstack([self._warm_points, points])
        self._errors.fit(points, [*self._warm_start, *results])
        losses = _losses(results)
        if losses:
            self._fit(self._quality, losses)
        model = self._quality
        if running:
            points = self._table.points_of(running)
            model = model.given(points, model.sample(points, WORLDS, self._rng))
        self._in_worlds = model
        for bound, model in self._bounds:
            figures = bound.figures(results)
            if figures:
                self._fit(model, figures)
        self.predict()

    def predict(self) -> None:
        """Predict every row of the table, which may have grown since the last fit."""
        mean, deviation = self._in_worlds.predict(self._table.points)
        self._mean = mean.reshape(len(mean), -1).T
        self._deviation = deviation.reshape(len(mean), -1).T[0]
        self._within_bounds = np.ones(len(self._table.settings))
        for _, model in self._bounds:
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

    def surely_within_all(self, *, at_once: bool = False) -> np.ndarray:
        """The probability that a row keeps all limits, the score loss's for sure.

        For sure means that the 95% interval at `max_samples` prompts lies under the limit; at once
        that it does at `num_samples` prompts, whatever their scatter does to the loss. The shape is
        (worlds, rows).
        """
        prompts = self._num_samples if at_once else self._max_samples
        errors = self._errors.errors(self._table.points, prompts or 1) * bool(prompts)
        threshold = self._quality.squeeze(self._limit - SURE * errors)
        scatter = errors / self._quality.reach if at_once else 0.0
        deviation = np.hypot(self._deviation, scatter)
        probability: np.ndarray = ndtr((threshold - self._mean) / deviation)
        return probability * self._within_bounds

    def _model(self, limit: float, figures: Sequence[Figure]) -> QualityModel:
        """A model whose prior mean is what a source study's figures predict, if there are any."""
        model = QualityModel(limit, seed=self._seed, summary=self._table.scale.summary)
        if not figures:
            return model
        reused = self._reused([result for result, _, _ in figures])
        values, errors = np.array([numbers for _, *numbers in figures]).T
        return model.warm_start(self._table.scale(reused), values, errors)

    def _reused(self, results: Sequence[Observation]) -> list[Reuse]:
        """What results reuse, in the studies that they are of."""
        return [
            self._context.reuse(result.setting) if result.reused is None else result.reused
            for result in results
        ]

    def _fit(self, model: QualityModel, figures: Sequence[Figure]) -> None:
        model.fit(
            self._table.points_of(result.setting for result, _, _ in figures),
            np.array([value for _, value, _ in figures]),
            np.array([error for _, _, error in figures]),
        )


def _losses(results: Sequence[Observation]) -> list[Figure]:
    return [(result, result.loss, result.error) for result in results]
