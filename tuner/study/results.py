"""The results of a study's trials, as everything after the search reads them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

from tuner.limits import Limits
from tuner.measure.figures import Figures
from tuner.setting import Setting
from tuner.storage.log import log_of
from tuner.study.baseline import Baseline, attributes
from tuner.study.schema import LONG, SETTING, figures_of
from tuner.study.verifications import counting_of_trial

VERIFICATION = "verification"  # what a result misses where its verification failed


@dataclass(frozen=True, kw_only=True)
class Verification(Figures):
    """A second measurement of a setting, on prompts that the search never used."""

    latency_s: float  # seconds per image: the study's baseline over the speedup
    current: bool = True  # timed under the current latency key


@dataclass(frozen=True, kw_only=True)
class Result(Figures):
    """What a trial found.

    Speed and latency are the verification's where only that was timed under the current latency
    key: on this machine, with these versions.
    """

    trial: int  # its number
    setting: Setting
    latency_s: float  # seconds per image: the study's baseline over the speedup
    same_pictures: bool
    note: str | None = None  # what is odd about it: changes nothing, or is slower
    denoising_s: float | None = None  # seconds per image of denoising alone
    current: bool = True  # timed under the current latency key
    verified: Verification | None = None
    failed_again: str | None = None  # why its verification failed on this machine
    failed_for_good: bool = False  # its pictures were broken: a retry would break them again

    @property
    def verified_now(self) -> bool:
        """Whether it has a verification that was timed under the current latency key."""
        return self.verified is not None and self.verified.current

    def feasible(self, limits: Limits) -> bool:
        """Whether every limit is met, strictly; by its verification as well, where it has one."""
        return not self.missed(limits)

    def missed(self, limits: Limits) -> list[str]:
        """The limits that the trial or its verification misses."""
        return list(dict.fromkeys([*self.missed_first(limits), *self.missed_again(limits)]))

    def missed_first(self, limits: Limits) -> list[str]:
        """The limits that the trial itself misses."""
        return limits.missed(self.score_loss.value, self.fidelity)

    def missed_again(self, limits: Limits) -> list[str]:
        """The limits that the verification misses; `VERIFICATION` alone where it failed."""
        if self.failed_again is not None:
            return [VERIFICATION]
        again = self.verified
        return [] if again is None else limits.missed(again.score_loss.value, again.fidelity)

    def overruled(self, limits: Limits) -> bool:
        """Whether the trial met every limit and its verification does not."""
        return bool(self.missed_again(limits)) and not self.missed_first(limits)

    def certainty(self, limits: Limits) -> str:
        """How certain the verdict is: 'sure', 'likely' or 'unsure'.

        From the measurement that decides it; a failed verification is sure.
        """
        if not self.overruled(limits):
            return limits.certainty(self.score_loss, self.fidelity)
        again = self.verified
        return "sure" if again is None else limits.certainty(again.score_loss, again.fidelity)


def read_results(study: optuna.Study, about: Mapping[str, Any] | None = None) -> list[Result]:
    """The complete trials, in the order of their numbers, with their verifications.

    Of a setting that was measured several times only one trial counts: rather one that was timed
    under the current latency key, then the one with the most prompts. `about` are the study's
    attributes, where the caller has read them already.
    """
    about = attributes(study) if about is None else about
    baseline = Baseline.of(about)
    rows = log_of(study).attributes(TrialState.COMPLETE, without=LONG)
    results = [
        result_of(number, stored, baseline, counting_of_trial(number, stored, about))
        for _, number, stored in rows
    ]
    most: dict[Setting, tuple[bool, int]] = {}
    for result in results:
        rank = (result.current, result.prompts)
        most[result.setting] = max(rank, most.get(result.setting, rank))
    return [one for one in results if (one.current, one.prompts) == most[one.setting]]


def read_result(study: optuna.Study, number: int, stored: Mapping[str, Any]) -> Result:
    """One trial that was measured, from its attributes."""
    about = attributes(study)
    verification = counting_of_trial(number, stored, about)
    return result_of(number, stored, Baseline.of(about), verification)


def read_stopped(study: optuna.Study) -> list[Result]:
    """What trials found that were stopped early, over the prompts that they had."""
    baseline = Baseline.of(attributes(study))
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    return [result_of(trial.number, trial.user_attrs, baseline) for trial in pruned]


def result_of(
    number: int,
    stored: Mapping[str, Any],
    baseline: Baseline,
    verification: Mapping[str, Any] | None = None,
) -> Result:
    """A result from the attributes of a trial and of its verification."""
    again = verification or {}
    verified = _verification_of(again, baseline) if again and "failed" not in again else None
    figures = figures_of(stored)
    if verified is not None and verified.current and not baseline.is_of(stored):
        figures |= {
            name: getattr(verified, name)
            for name in ("speedup", "denoising", "unsteady", "latency_key")
        }
    denoising = figures.get("denoising")
    return Result(
        **figures,
        trial=number,
        setting=Setting.of(stored[SETTING]),
        latency_s=baseline.latency_at(figures["speedup"].value),
        same_pictures=stored["same_pictures"],
        note=stored.get("note"),
        denoising_s=None if denoising is None else baseline.denoising_at(denoising.value),
        current=baseline.is_of(stored) or (verified is not None and verified.current),
        verified=verified,
        failed_again=again.get("failed"),
        failed_for_good=again.get("for_good", False),
    )


def _verification_of(stored: Mapping[str, Any], baseline: Baseline) -> Verification:
    return Verification(
        **figures_of(stored),
        latency_s=baseline.latency_at(stored["speedup"]),
        current=baseline.is_of(stored),
    )


def feasible_settings(study: optuna.Study, limits: Limits) -> set[Setting]:
    """The settings whose results meet every limit."""
    return {result.setting for result in read_results(study) if result.feasible(limits)}


def pareto_front(results: Iterable[Result], limits: Limits) -> list[Result]:
    """The Pareto front, slowest first: no other result is at least as fast and loses no more.

    An infeasible result never displaces a feasible one from the front.
    """
    front: list[Result] = []
    seen: set[Setting] = set()
    least_loss = {True: float("inf"), False: float("inf")}  # of feasible results; of all
    order = sorted(results, key=lambda r: (-r.speedup.value, r.score_loss.value, r.trial))
    for result in order:
        feasible = result.feasible(limits)
        if result.score_loss.value < least_loss[feasible] and result.setting not in seen:
            front.append(result)
            seen.add(result.setting)
            for kind in {feasible, False}:
                least_loss[kind] = min(least_loss[kind], result.score_loss.value)
    return front[::-1]


def fastest_feasible(results: Iterable[Result], limits: Limits) -> Result | None:
    """The fastest feasible result, the baseline left out."""
    feasible = [one for one in results if one.feasible(limits) and one.setting.accelerators]
    return max(feasible, key=lambda result: result.speedup.value, default=None)
