"""A finished trial as this project reads it, and how it is written."""

from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from tuner.measure.statistics import Estimate
from tuner.setting import Setting
from tuner.storage import constraint

VERIFIED = "verified"  # study attribute: trial number -> second measurement


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a trial found."""

    trial: int
    setting: Setting
    speedup: Estimate
    score_loss: Estimate
    latency_s: float
    score: float
    prompts: int
    same_pictures: bool
    note: str | None = None  # what is odd about it: changes nothing, or is slower
    verified: "Verification | None" = None

    def feasible(self, limit: float) -> bool:
        """Strictly under the limit; where it was measured again, there too."""
        again = self.verified
        return self.score_loss.value < limit and (again is None or again.score_loss.value < limit)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The second measurement of a setting, on prompts that the search never saw."""

    speedup: Estimate
    score_loss: Estimate
    latency_s: float
    score: float
    prompts: int


def write(trial: Trial, measured: Any, limit: float) -> None:
    """Keep a `Measurement` with its trial; per-prompt scores as one compact attribute."""
    attributes = {
        **_figures(measured),
        "scores": " ".join(f"{score:.4f}" for score in measured.scores),
        "memory_gib": measured.memory_gib,
        "same_pictures": measured.same_pictures,
    }
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    if measured.note is not None:
        trial.set_user_attr("note", measured.note)
    set_constraint(trial, measured.score_loss.value, limit)


def set_constraint(trial: Trial, loss: float, limit: float) -> None:
    """Say whether a trial is feasible, in the form that the dashboard and every sampler read."""
    trial.storage.set_trial_system_attr(trial._trial_id, "constraints", [constraint(loss, limit)])


def keep_verification(study: optuna.Study, trial: int, measured: Any) -> None:
    """Keep a second measurement; with the study, because a finished trial is closed."""
    kept = study.user_attrs.get(VERIFIED, {})
    study.set_user_attr(VERIFIED, kept | {str(trial): _figures(measured)})


def results(study: optuna.Study) -> list[Result]:
    """The COMPLETE trials, in the order of their numbers, with their second measurements."""
    again = study.user_attrs.get(VERIFIED, {})
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [result(one, again.get(str(one.number))) for one in complete]


def result(trial: FrozenTrial, again: dict[str, Any] | None = None) -> Result:
    """One COMPLETE trial."""
    return from_attributes(trial.number, trial.user_attrs, again)


def from_attributes(
    number: int, kept: dict[str, Any], again: dict[str, Any] | None = None
) -> Result:
    """A result from what `write` kept, and what `keep_verification` kept."""
    verified = None
    if again is not None:
        verified = Verification(
            speedup=_estimate(again["speedup"], again["speedup_ci"]),
            score_loss=_estimate(again["score_loss"], again["score_loss_ci"]),
            latency_s=again["latency_s"],
            score=again["score"],
            prompts=again["prompts"],
        )
    return Result(
        trial=number,
        setting=Setting.of(kept["setting"]),
        speedup=_estimate(kept["speedup"], kept["speedup_ci"]),
        score_loss=_estimate(kept["score_loss"], kept["score_loss_ci"]),
        latency_s=kept["latency_s"],
        score=kept["score"],
        prompts=kept["prompts"],
        same_pictures=kept["same_pictures"],
        note=kept.get("note"),
        verified=verified,
    )


def front(found: list[Result]) -> list[Result]:
    """The Pareto front: no other is at least as fast and loses no more; sorted by speedup."""
    best: list[Result] = []
    seen: set[Setting] = set()
    least = float("inf")
    for one in sorted(found, key=lambda r: (-r.speedup.value, r.score_loss.value, r.trial)):
        if one.score_loss.value < least and one.setting not in seen:
            best.append(one)
            seen.add(one.setting)
            least = one.score_loss.value
    return best[::-1]


def best(found: list[Result], limit: float) -> Result | None:
    """The fastest feasible one that accelerates anything."""
    feasible = [one for one in found if one.feasible(limit) and one.setting.accelerators]
    return max(feasible, key=lambda one: one.speedup.value, default=None)


def _figures(measured: Any) -> dict[str, Any]:
    """What a first and a second measurement keep alike."""
    return {
        "score_loss": measured.score_loss.value,
        "score_loss_ci": [measured.score_loss.low, measured.score_loss.high],
        "speedup": measured.speedup.value,
        "speedup_ci": [measured.speedup.low, measured.speedup.high],
        "latency_s": measured.latency_s,
        "score": measured.score,
        "prompts": measured.prompts,
    }


def _estimate(value: float, interval: list[float]) -> Estimate:
    return Estimate(value=value, low=interval[0], high=interval[1])
