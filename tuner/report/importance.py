"""How much each knob explains of the differences between the settings that were tried.

The importances are Optuna's, over all settings with figures: feasible, infeasible and stopped
early. They are the mean decrease in impurity of a random forest. On simulated searches these agree
with fANOVA's, vary less with the seed, and take a sixth of the time; those of PED-ANOVA, Optuna's
default, describe the best tenth of the settings only. An accelerator that is off has its first knob
at the value that means "off", and its other knobs at their first values.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.importance import MeanDecreaseImpurityImportanceEvaluator, get_param_importances

from tuner import registry
from tuner.accelerators import Value
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.study.results import Result

FEWEST = 8  # settings: with fewer, the forest explains chance
MOST = 1000  # settings: with more, the forest takes long and its answer hardly changes
FIGURES: dict[str, Callable[[Result], float]] = {
    "speedup": lambda result: result.speedup.value,
    "score loss": lambda result: result.score_loss.value,
}


@dataclass(frozen=True, kw_only=True)
class Importance:
    """For each figure the knobs with their shares, which add up to 1."""

    settings: int  # how many settings it is computed from
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # figure → knob → share
    missing: str | None = None  # why there are no shares

    @property
    def knobs(self) -> list[str]:
        """The knobs, those with the greatest shares first."""
        names = {name for shares in self.shares.values() for name in shares}
        return sorted(names, key=lambda name: (-self._greatest(name), name))

    def _greatest(self, knob: str) -> float:
        return max(shares.get(knob, 0.0) for shares in self.shares.values())


def importance_of(results: Sequence[Result]) -> Importance:
    """The importance of the knobs over results; where there is none, why."""
    by_setting: dict[Setting, Result] = {}
    for result in sorted(results, key=lambda result: result.prompts):
        by_setting[result.setting] = result  # the one with the most prompts
    tried = list(by_setting.values())
    if len(tried) < FEWEST:
        return Importance(
            settings=len(tried),
            missing=f"The importance is computed from at least {FEWEST} settings, and {len(tried)} "
            f"{'was' if len(tried) == 1 else 'were'} measured.",
        )
    chosen = tried[:: -(-len(tried) // MOST)]
    try:
        return Importance(settings=len(chosen), shares=_shares(chosen))
    except (ValueError, RuntimeError) as error:
        return Importance(
            settings=len(chosen), missing=f"Optuna could not compute the importance: {error}"
        )


def _shares(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """By figure and knob. Optuna raises `ValueError` or `RuntimeError` where it cannot tell."""
    space = _space(results)
    distributions: Any = space.distributions()
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trials(
        [
            optuna.create_trial(
                params=space.flat(result.setting),
                distributions=distributions,
                values=[figure(result) for figure in FIGURES.values()],
            )
            for result in results
        ]
    )
    evaluator = MeanDecreaseImpurityImportanceEvaluator(seed=0)
    return {name: _importances(study, evaluator, index) for index, name in enumerate(FIGURES)}


def _importances(
    study: optuna.Study, evaluator: MeanDecreaseImpurityImportanceEvaluator, index: int
) -> dict[str, float]:
    """Not normalised: they add up to 1, but to 0 where the figure is the same everywhere."""
    shares = get_param_importances(
        study,
        evaluator=evaluator,
        target=lambda trial: float(trial.values[index]),
        normalize=False,
    )
    return {name: float(share) for name, share in shares.items()}


def _space(results: Sequence[Result]) -> Space:
    """The accelerators that were on in some result, with all their values and those tried."""
    tried: dict[tuple[str, str], set[Value]] = {}
    for result in results:
        for name, values in result.setting.params.items():
            for knob, value in values.items():
                tried.setdefault((name, knob), set()).add(value)
    on = {name for name, _ in tried}
    parts = [
        (kind, tuple((k, tuple(sorted({*k.values, *tried[name, k.name]}))) for k in kind.knobs()))
        for name, kind in registry.components("accelerators").items()
        if name in on
    ]
    return Space(parts=tuple(parts))
