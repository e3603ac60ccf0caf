"""A finished trial as this project reads it, and how it is written."""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from tuner.limits import Limits
from tuner.measure.device import PeakMemory
from tuner.measure.statistics import Estimate
from tuner.setting import Setting
from tuner.storage import queries as trials
from tuner.storage.database import LONG
from tuner.study.baseline import Baseline, attributes, keep_baseline

SAME_AS = "same_as"  # trial attribute: number of the trial whose numbers it took over
BARELY = 1e-12  # a constraint that says infeasible and by how much nobody knows
BEHIND = "behind"  # trial attribute: number of the rival for which it was stopped
VERIFIED = "verified"  # study attribute: trial number -> second measurements, one for each key
AGAIN = "second measurement"  # what a result misses where that failed


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a trial found.

    Its speed is the second measurement's where only that was timed under the key of today.
    """

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
    today: bool = True  # its speed was measured on the machine and with the versions of today
    verified: "Verification | None" = None
    failed_again: str | None = None  # why its second measurement failed on this machine
    failed_for_good: bool = False  # its pictures were broken: another try would break them again

    @property
    def verified_today(self) -> bool:
        """Whether there is a second measurement that was timed under the key of today."""
        return self.verified is not None and self.verified.today

    def feasible(self, limits: Limits) -> bool:
        """Strictly within every limit; where it was measured again, there too."""
        return not self.missed(limits)

    def missed(self, limits: Limits) -> list[str]:
        """The limits that are not kept, in the first or in the second measurement."""
        return list(dict.fromkeys([*self.missed_first(limits), *self.missed_again(limits)]))

    def missed_first(self, limits: Limits) -> list[str]:
        """The limits that are not kept in the first measurement."""
        return limits.missed(self.score_loss.value, self.fidelity)

    def missed_again(self, limits: Limits) -> list[str]:
        """The limits that are not kept in the second measurement; that itself, where it failed."""
        if self.failed_again is not None:
            return [AGAIN]
        again = self.verified
        return [] if again is None else limits.missed(again.score_loss.value, again.fidelity)

    def overruled(self, limits: Limits) -> bool:
        """Whether the second measurement says that a limit is missed, and the first did not."""
        return bool(self.missed_again(limits)) and not self.missed_first(limits)

    def certainty(self, limits: Limits) -> str:
        """How sure its verdict is, from the measurement that decides it; a failure is sure."""
        if not self.overruled(limits):
            return limits.certainty(self.score_loss, self.fidelity)
        again = self.verified
        return "sure" if again is None else limits.certainty(again.score_loss, again.fidelity)


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
    today: bool = True  # as of a result


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a second measurement broke off, and whether another try would break off as well."""

    reason: str
    for_good: bool = False


def write(trial: Trial, measured: Any, limits: Limits) -> None:
    """Keep a `Measurement` with its trial, and the baseline as it found it with the study.

    Per-prompt scores are one compact attribute.
    """
    keep_baseline(trial.study, measured)
    attributes = {
        **_figures(measured),
        "scores": " ".join(f"{score:.4f}" for score in measured.scores),
        "ratios": " ".join(f"{ratio:.4f}" for ratio in measured.ratios),
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
    found = constraints(trial.number, trial.user_attrs, limits, attributes(trial.study))
    trial.storage.set_trial_system_attr(trial._trial_id, "constraints", found)


def constraints(
    number: int, kept: Mapping[str, Any], limits: Limits, about: Mapping[str, Any]
) -> list[float]:
    """The constraints of a trial, from what it keeps and what its study keeps `about` it.

    Of two measurements the worse one counts for each limit; where the second failed, the trial is
    barely infeasible, which says so and teaches a sampler nothing false.
    """
    again = _second(number, kept, about) or {}
    both = [_constraints(one, limits) for one in (kept, again) if "score_loss" in one]
    first, *others = (max(values) for values in zip(*both, strict=True))
    return [max(first, BARELY) if "failed" in again else first, *others]


def _constraints(kept: Mapping[str, Any], limits: Limits) -> list[float]:
    fidelity = {name: one["value"] for name, one in kept.get("fidelity", {}).items()}
    return limits.constraints(kept["score_loss"], fidelity)


def judge_verified(study: optuna.Study, limits: Limits) -> None:
    """Let the stored constraints of what was measured again follow both measurements."""
    about = attributes(study)
    if about.get(VERIFIED):
        trials.judge(
            study,
            {
                trial: constraints(number, kept, limits, about)
                for trial, number, kept in trials.attributes(study, *trials.ENDED, without=LONG)
                if "score_loss" in kept and _all_second(number, kept, about)
            },
        )


def still_holds(
    trial: FrozenTrial,
    study: optuna.Study,
    baseline: Baseline,
    feasible: Callable[[], Container[Setting]],
    *,
    timed_today: bool,
) -> bool:
    """Whether a COMPLETE or PRUNED trial tells all there is to know of its setting.

    A loss is the same on every machine: what misses a limit of today, which may be looser than it
    was, need not be measured again; a stopped trial without constraints counts as missing one.
    A stopped trial that was behind a rival was slower than it on one machine: that holds under its
    latency key only, and while the rival is among the `feasible` settings. A complete one that is
    within the limits holds under every key, or with `timed_today` under today's alone.
    """
    stopped, today = trial.state == TrialState.PRUNED, baseline.is_of(trial.user_attrs)
    behind = trial.user_attrs.get(BEHIND)
    if stopped and behind is not None:
        rival = study.get_trials(deepcopy=False)[behind]
        return today and Setting.of(rival.user_attrs["setting"]) in feasible()
    if not stopped and (today or not timed_today):
        return True
    unknown = [1.0] if stopped else []
    return any(excess > 0 for excess in trial.system_attrs.get("constraints", unknown))


def feasible_settings(study: optuna.Study, limits: Limits) -> set[Setting]:
    """The settings whose results are within every limit."""
    return {one.setting for one in results(study) if one.feasible(limits)}


def keep_verification(study: optuna.Study, trial: int, measured: Any, limits: Limits) -> None:
    """Keep a second measurement, or the `Failure` that it was; the verdict follows it.

    It is kept with the study, because a finished trial is closed; one for each latency key.
    """
    if isinstance(measured, Failure):
        key = Baseline.of(attributes(study)).latency_key
        found = {"failed": measured.reason, "for_good": measured.for_good, "latency_key": key}
    else:
        keep_baseline(study, measured)
        found = _figures(measured)
    about = attributes(study)
    baseline = Baseline.of(about)
    kept = about.get(VERIFIED, {})
    others = [one for one in _listed(kept.get(str(trial))) if not baseline.is_of(one)]
    study.set_user_attr(VERIFIED, kept | {str(trial): [*others, found]})
    judge_verified(study, limits)


def verifications(study: optuna.Study) -> dict[int, dict[str, Any]]:
    """What second measurements found, by the number of the trial; without those that failed."""
    about = attributes(study)
    baseline = Baseline.of(about)
    kept = {number: _counting(_listed(all_), baseline) for number, all_ in _verified(about)}
    return {number: one for number, one in kept.items() if one and "failed" not in one}


def _verified(about: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    for number, kept in about.get(VERIFIED, {}).items():
        yield int(number), kept


def results(study: optuna.Study, about: Mapping[str, Any] | None = None) -> list[Result]:
    """The COMPLETE trials, in the order of their numbers, with their second measurements.

    Of a setting that was measured several times, what was timed under today's key counts, and of
    that the trial with the most prompts. `about` are the study's attributes, where they were read
    before.
    """
    about = attributes(study) if about is None else about
    if isinstance(study._storage, optuna.storages.RDBStorage):  # it keeps no trials
        rows = trials.attributes(study, TrialState.COMPLETE, without=LONG)
    else:
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        rows = ((one._trial_id, one.number, one.user_attrs) for one in complete)
    baseline = Baseline.of(about)
    found = [
        from_attributes(number, kept, baseline, _second(number, kept, about))
        for _, number, kept in rows
    ]
    most: dict[Setting, tuple[bool, int]] = {}
    for one in found:
        rank = (one.today, one.prompts)
        most[one.setting] = max(rank, most.get(one.setting, rank))
    return [one for one in found if (one.today, one.prompts) == most[one.setting]]


def stopped(study: optuna.Study) -> list[Result]:
    """What trials found that were stopped early, by the prompts that they had."""
    baseline = Baseline.of(attributes(study))
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    return [from_attributes(one.number, one.user_attrs, baseline) for one in pruned]


def _second(
    number: int, kept: Mapping[str, Any], about: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What a study keeps of the second measurement of a trial, or of the one whose numbers it has.

    From the trial's attributes and the study's; None where there was none.
    """
    return _counting(_all_second(number, kept, about), Baseline.of(about))


def _all_second(
    number: int, kept: Mapping[str, Any], about: Mapping[str, Any]
) -> list[dict[str, Any]]:
    return _listed(about.get(VERIFIED, {}).get(str(kept.get(SAME_AS, number))))


def _listed(kept: Any) -> list[dict[str, Any]]:
    """The second measurements of a trial; an older version kept one, and in no list."""
    if kept is None:
        return []
    return [kept] if isinstance(kept, dict) else kept


def _counting(found: list[dict[str, Any]], baseline: Baseline) -> dict[str, Any] | None:
    """The second measurement under today's key; else the last one that did not break off.

    One that broke off elsewhere says nothing of this machine.
    """
    today = [one for one in found if baseline.is_of(one)]
    usable = today or [one for one in found if "failed" not in one]
    return usable[-1] if usable else None


def result(study: optuna.Study, number: int, kept: Mapping[str, Any]) -> Result:
    """One trial that was measured, from its attributes."""
    about = attributes(study)
    return from_attributes(number, kept, Baseline.of(about), _second(number, kept, about))


def from_attributes(
    number: int,
    kept: Mapping[str, Any],
    baseline: Baseline,
    again: Mapping[str, Any] | None = None,
) -> Result:
    """A result from what `write` kept, and what `keep_verification` kept."""
    again = again or {}
    verified = None if not again or "failed" in again else _verification(again, baseline)
    timed = again if verified is not None and verified.today and not baseline.is_of(kept) else kept
    denoising = _estimate(**timed["denoising"]) if timed.get("denoising") else None
    speedup = _estimate(timed["speedup"], timed["speedup_ci"])
    return Result(
        trial=number,
        setting=Setting.of(kept["setting"]),
        speedup=speedup,
        score_loss=_estimate(kept["score_loss"], kept["score_loss_ci"]),
        latency_s=baseline.latency_at(speedup.value),
        score=kept["score"],
        prompts=kept["prompts"],
        same_pictures=kept["same_pictures"],
        note=kept.get("note"),
        fidelity=_fidelity(kept),
        memory=PeakMemory(device=kept.get("memory_gib"), host=kept.get("host_memory_gib")),
        denoising=denoising,
        denoising_s=None if denoising is None else baseline.denoising_at(denoising.value),
        unsteady=timed.get("unsteady"),
        today=baseline.is_of(timed),
        verified=verified,
        failed_again=again.get("failed"),
        failed_for_good=again.get("for_good", False),
    )


def _verification(again: Mapping[str, Any], baseline: Baseline) -> Verification:
    return Verification(
        speedup=_estimate(again["speedup"], again["speedup_ci"]),
        score_loss=_estimate(again["score_loss"], again["score_loss_ci"]),
        latency_s=baseline.latency_at(again["speedup"]),
        score=again["score"],
        prompts=again["prompts"],
        fidelity=_fidelity(again),
        unsteady=again.get("unsteady"),
        today=baseline.is_of(again),
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
        "denoising": _interval(measured.denoising),
        "latency_key": measured.latency_key,
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
