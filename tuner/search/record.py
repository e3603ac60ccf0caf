"""A finished trial as this project reads it, and how it is written."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from tuner import trials
from tuner.measure.device import PeakMemory
from tuner.measure.statistics import Estimate
from tuner.search.limits import Limits
from tuner.setting import Setting
from tuner.storage import LONG

SAME_AS = "same_as"  # trial attribute: number of the trial whose numbers it took over
BEHIND = "behind"  # trial attribute: number of the rival for which it was stopped
VERIFIED = "verified"  # study attribute: trial number -> second measurement
AGAIN = "second measurement"  # what a result misses where that failed


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
    fidelity: Mapping[str, Estimate] = field(default_factory=dict)  # of metrics beside the score
    memory: PeakMemory = field(default_factory=PeakMemory)
    denoising: Estimate | None = None  # the speedup of denoising alone
    denoising_s: float | None = None  # seconds per image of it
    unsteady: str | None = None  # why its latency is not to be relied upon
    verified: "Verification | None" = None
    failed_again: str | None = None  # why its second measurement failed

    def feasible(self, limits: Limits) -> bool:
        """Strictly within every limit; where it was measured again, there too."""
        return not self.missed(limits)

    def missed(self, limits: Limits) -> list[str]:
        """The limits that are not kept, in the first or in the second measurement."""
        both: list[Result | Verification] = [self]
        if self.verified is not None:
            both.append(self.verified)
        found = [limits.missed(one.score_loss.value, one.fidelity) for one in both]
        if self.failed_again is not None:
            found.append([AGAIN])
        return list(dict.fromkeys(name for names in found for name in names))


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The second measurement of a setting, on prompts that the search never saw."""

    speedup: Estimate
    score_loss: Estimate
    latency_s: float
    score: float
    prompts: int
    fidelity: Mapping[str, Estimate] = field(default_factory=dict)
    unsteady: str | None = None


def write(trial: Trial, measured: Any, limits: Limits) -> None:
    """Keep a `Measurement` with its trial; per-prompt scores as one compact attribute."""
    attributes = {
        **_figures(measured),
        "scores": " ".join(f"{score:.4f}" for score in measured.scores),
        "ratios": " ".join(f"{ratio:.4f}" for ratio in measured.ratios),
        "denoising": _interval(measured.denoising),
        "denoising_s": measured.denoising_s,
        "memory_gib": measured.memory.device,
        "host_memory_gib": measured.memory.host,
        "same_pictures": measured.same_pictures,
    }
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    if measured.note is not None:
        trial.set_user_attr("note", measured.note)
    if measured.numbers != list(range(measured.prompts)):  # of the prompts, where they were drawn
        trial.set_user_attr("numbers", " ".join(map(str, measured.numbers)))
    set_constraints(trial, limits)


def set_constraints(trial: Trial, limits: Limits) -> None:
    """Say whether a trial is feasible, in the form that the dashboard and every sampler read."""
    found = constraints(trial.user_attrs, limits)
    trial.storage.set_trial_system_attr(trial._trial_id, "constraints", found)


def constraints(kept: Mapping[str, Any], limits: Limits) -> list[float]:
    """The constraints of a trial, from what `write` kept."""
    fidelity = {name: one["value"] for name, one in kept.get("fidelity", {}).items()}
    return limits.constraints(kept["score_loss"], fidelity)


def stopped_for_good(
    trial: FrozenTrial, study: optuna.Study, feasible: Callable[[], Container[Setting]]
) -> bool:
    """Whether what a trial was stopped for still holds.

    It misses a limit of today, which may be looser than it was; one that keeps no constraints
    counts as missing one. Or the rival that it was behind is still among the `feasible` settings.
    """
    behind = trial.user_attrs.get(BEHIND)
    if behind is not None:
        rival = study.get_trials(deepcopy=False)[behind]
        return Setting.of(rival.user_attrs["setting"]) in feasible()
    return any(excess > 0 for excess in trial.system_attrs.get("constraints", [1.0]))


def feasible_settings(study: optuna.Study, limits: Limits) -> set[Setting]:
    """The settings whose results are within every limit."""
    return {one.setting for one in results(study) if one.feasible(limits)}


def keep_verification(study: optuna.Study, trial: int, measured: Any) -> None:
    """Keep a second measurement, or in words why it failed.

    It is kept with the study, because a finished trial is closed.
    """
    kept = study.user_attrs.get(VERIFIED, {})
    found = {"failed": measured} if isinstance(measured, str) else _figures(measured)
    study.set_user_attr(VERIFIED, kept | {str(trial): found})


def second_looks(study: optuna.Study) -> dict[int, dict[str, Any]]:
    """What second measurements found, by the number of the trial; without those that failed."""
    kept = study.user_attrs.get(VERIFIED, {})
    return {int(number): one for number, one in kept.items() if "failed" not in one}


def results(study: optuna.Study) -> list[Result]:
    """The COMPLETE trials, in the order of their numbers, with their second measurements.

    Of a setting that was measured again on more prompts, the trial with the most of them.
    """
    about = study.user_attrs
    if isinstance(study._storage, optuna.storages.RDBStorage):  # it keeps no trials
        rows = trials.attributes(study, TrialState.COMPLETE, without=LONG)
    else:
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        rows = ((one._trial_id, one.number, one.user_attrs) for one in complete)
    found = [
        from_attributes(number, kept, _second(number, kept, about)) for _, number, kept in rows
    ]
    most: dict[Setting, int] = {}
    for one in found:
        most[one.setting] = max(one.prompts, most.get(one.setting, 0))
    return [one for one in found if one.prompts == most[one.setting]]


def stopped(study: optuna.Study) -> list[Result]:
    """What trials found that were stopped early, by the prompts that they had."""
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    return [result(one) for one in pruned]


def _second(
    number: int, kept: Mapping[str, Any], about: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What a study keeps of the second measurement of a trial, or of the one whose numbers it has.

    From the trial's attributes and the study's; None where there was none.
    """
    measured: dict[str, dict[str, Any]] = about.get(VERIFIED, {})
    return measured.get(str(kept.get(SAME_AS, number)))


def result(trial: FrozenTrial, again: dict[str, Any] | None = None) -> Result:
    """One trial that was measured."""
    return from_attributes(trial.number, trial.user_attrs, again)


def from_attributes(
    number: int, kept: dict[str, Any], again: dict[str, Any] | None = None
) -> Result:
    """A result from what `write` kept, and what `keep_verification` kept."""
    verified, again = None, again or {}
    if again and "failed" not in again:
        verified = Verification(
            speedup=_estimate(again["speedup"], again["speedup_ci"]),
            score_loss=_estimate(again["score_loss"], again["score_loss_ci"]),
            latency_s=again["latency_s"],
            score=again["score"],
            prompts=again["prompts"],
            fidelity=_fidelity(again),
            unsteady=again.get("unsteady"),
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
        fidelity=_fidelity(kept),
        memory=PeakMemory(device=kept.get("memory_gib"), host=kept.get("host_memory_gib")),
        denoising=_estimate(**kept["denoising"]) if kept.get("denoising") else None,
        denoising_s=kept.get("denoising_s"),
        unsteady=kept.get("unsteady"),
        verified=verified,
        failed_again=again.get("failed"),
    )


def front(found: list[Result], limits: Limits) -> list[Result]:
    """The Pareto front, sorted by speedup: no other is at least as fast and loses no more.

    One that is not feasible keeps no feasible one off the front.
    """
    best: list[Result] = []
    seen: set[Setting] = set()
    least = {True: float("inf"), False: float("inf")}  # loss so far: of feasible ones, of all
    for one in sorted(found, key=lambda r: (-r.speedup.value, r.score_loss.value, r.trial)):
        feasible = one.feasible(limits)
        if one.score_loss.value < least[feasible] and one.setting not in seen:
            best.append(one)
            seen.add(one.setting)
            for kind in {feasible, False}:
                least[kind] = min(least[kind], one.score_loss.value)
    return best[::-1]


def best(found: list[Result], limits: Limits) -> Result | None:
    """The fastest feasible one that accelerates anything."""
    feasible = [one for one in found if one.feasible(limits) and one.setting.accelerators]
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
        "fidelity": {name: _interval(one) for name, one in measured.fidelity.items()},
        "prompts": measured.prompts,
        "unsteady": measured.unsteady,
    }


def _fidelity(kept: Mapping[str, Any]) -> dict[str, Estimate]:
    found = kept.get("fidelity", {})
    return {name: _estimate(**one) for name, one in found.items()}


def _interval(one: Estimate | None) -> dict[str, Any] | None:
    return None if one is None else {"value": one.value, "ci": [one.low, one.high]}


def _estimate(value: float, ci: list[float]) -> Estimate:
    return Estimate(value=value, low=ci[0], high=ci[1])
