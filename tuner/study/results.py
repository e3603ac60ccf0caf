"""The results of a study's trials, as everything after the search reads them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import optuna
from optuna.trial import TrialState

from tuner.limits import Limits
from tuner.measure.figures import Figures
from tuner.setting import Setting
from tuner.storage.log import log_of
from tuner.study.baseline import Baseline, attributes
from tuner.study.schema import LONG, SAME_AS, SETTING, TIMED, VERIFIED, figures_of
from tuner.study.verifications import effective_timing, effective_verification

VERIFICATION = "verification"  # what a result misses where its verification failed
# What a later timing replaces of a trial's attributes.
SPEEDS = ("speedup", "speedup_ci", "speedup_from", "denoising", "unsteady", "latency_key")


@dataclass(frozen=True, kw_only=True)
class Verification(Figures):
    """A second measurement of a setting, on prompts that the search never used."""

    latency_s: float  # seconds per image: the study's baseline over the speedup
    current: bool = True  # timed under the current latency key


@dataclass(frozen=True, kw_only=True)
class Result(Figures):
    """The figures of a trial and of its verification.

    Speed and latency are the verification's where only that was timed under the current latency
    key: on this machine, with these versions.
    """

    trial: int  # its number
    setting: Setting
    latency_s: float  # seconds per image: the study's baseline over the speedup
    same_pictures: bool
    note: str | None = None  # what is unusual about it, such as that it is slower than the baseline
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
        verified = self.verified
        if verified is None:
            return []
        return limits.missed(verified.score_loss.value, verified.fidelity)

    def overruled(self, limits: Limits) -> bool:
        """Whether the trial met every limit and its verification does not."""
        return bool(self.missed_again(limits)) and not self.missed_first(limits)

    def certainty(self, limits: Limits) -> str:
        """How certain the verdict is: 'sure', 'likely' or 'unsure'.

        From the measurement that decides it; a failed verification is sure.
        """
        if not self.overruled(limits):
            return limits.certainty(self.score_loss, self.fidelity)
        verified = self.verified
        if verified is None:
            return "sure"
        return limits.certainty(verified.score_loss, verified.fidelity)


def read_results(study: optuna.Study, study_attrs: Mapping[str, Any] | None = None) -> list[Result]:
    """The complete trials that count, in the order of their numbers, with their verifications.

    `study_attrs` are the study's attributes, where the caller has read them already.
    """
    study_attrs = attributes(study) if study_attrs is None else study_attrs
    log = log_of(study)
    known = known_results(study) if log.keeps_trials else KnownResults()
    rows = log.attributes(TrialState.COMPLETE, without=LONG)
    return counting(known.read(rows, study_attrs))


class KnownResults:
    """The results of one study's complete trials, each of which is made once.

    A complete trial's own attributes do not change any more. Its result changes with the study's
    attributes: the baseline, its verification and its later timing.
    """

    def __init__(self) -> None:
        """Without any results."""
        self._baseline: Baseline | None = None
        self._results: dict[int, Result] = {}  # by number; of trials that nothing was added to
        self._figures: dict[int, tuple[dict[str, Any], Setting]] = {}  # as decoded, by number

    def read(
        self, rows: Iterable[tuple[int, int, Mapping[str, Any]]], study_attrs: Mapping[str, Any]
    ) -> list[Result]:
        """The results of the trials `rows`: ids, numbers and attributes."""
        baseline = Baseline.of(study_attrs)
        if baseline != self._baseline:
            self._results, self._baseline = {}, baseline
        known = self._results
        added = study_attrs.get(VERIFIED, {}).keys() | study_attrs.get(TIMED, {}).keys()
        results = []
        for _, number, stored in rows:
            if added and str(stored.get(SAME_AS, number)) in added:
                results.append(self._made(number, stored, baseline, study_attrs))
                continue
            if number not in known:
                known[number] = self._made(number, stored, baseline, study_attrs)
            results.append(known[number])
        return results

    def _made(
        self,
        number: int,
        stored: Mapping[str, Any],
        baseline: Baseline,
        study_attrs: Mapping[str, Any],
    ) -> Result:
        verification = effective_verification(number, stored, study_attrs)
        timing = effective_timing(number, stored, study_attrs)
        if timing is not None:
            return result_of(number, stored, baseline, verification, timing)
        if number not in self._figures:
            self._figures[number] = figures_of(stored), Setting.of(stored[SETTING])
        return _result(number, stored, baseline, verification, *self._figures[number])


# By storage and study id: of studies whose trials this process keeps in memory.
_KNOWN: WeakKeyDictionary[Any, dict[int, KnownResults]] = WeakKeyDictionary()


def known_results(study: optuna.Study) -> KnownResults:
    """The results that this process has read of a study."""
    storage, number = log_of(study).key
    return _KNOWN.setdefault(storage, {}).setdefault(number, KnownResults())


def counting(results: Sequence[Result]) -> list[Result]:
    """The results that count, of one study's complete trials.

    Of a setting that was measured several times only one trial counts: preferably one that was
    timed under the current latency key, then the one with the most prompts.
    """
    best: dict[Setting, tuple[bool, int]] = {}
    for result in results:
        rank = (result.current, result.prompts)
        best[result.setting] = max(rank, best.get(result.setting, rank))
    return [r for r in results if (r.current, r.prompts) == best[r.setting]]


def read_result(study: optuna.Study, number: int, stored: Mapping[str, Any]) -> Result:
    """One trial that was measured, from its attributes."""
    study_attrs = attributes(study)
    verification = effective_verification(number, stored, study_attrs)
    timing = effective_timing(number, stored, study_attrs)
    return result_of(number, stored, Baseline.of(study_attrs), verification, timing)


def read_stopped(study: optuna.Study) -> list[Result]:
    """The results of trials that were stopped early, over the prompts that they had."""
    baseline = Baseline.of(attributes(study))
    rows = log_of(study).attributes(TrialState.PRUNED, without=LONG)
    return [result_of(number, stored, baseline) for _, number, stored in rows]


def result_of(
    number: int,
    stored: Mapping[str, Any],
    baseline: Baseline,
    verification: Mapping[str, Any] | None = None,
    timing: Mapping[str, Any] | None = None,
) -> Result:
    """A result from the attributes of a trial, of its verification, and of its later timing."""
    figures = figures_of(stored if timing is None else _timed_again(stored, timing))
    return _result(number, stored, baseline, verification, figures, Setting.of(stored[SETTING]))


def _result(
    number: int,
    stored: Mapping[str, Any],
    baseline: Baseline,
    verification: Mapping[str, Any] | None,
    figures: Mapping[str, Any],
    setting: Setting,
) -> Result:
    second = verification or {}
    verified = _verification_of(second, baseline) if second and "failed" not in second else None
    denoising = figures.get("denoising")
    return Result(
        **figures,
        trial=number,
        setting=setting,
        latency_s=baseline.latency_at(figures["speedup"].value),
        same_pictures=stored["same_pictures"],
        note=stored.get("note"),
        denoising_s=None if denoising is None else baseline.denoising_at(denoising.value),
        current=baseline.is_of(stored) or (verified is not None and verified.current),
        verified=verified,
        failed_again=second.get("failed"),
        failed_for_good=second.get("for_good", False),
    )


def _timed_again(stored: Mapping[str, Any], timing: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a trial with the speeds of a later timing in place of its own."""
    others = {name: value for name, value in stored.items() if name not in SPEEDS}
    return others | {name: timing[name] for name in SPEEDS if name in timing}


def _verification_of(stored: Mapping[str, Any], baseline: Baseline) -> Verification:
    return Verification(
        **figures_of(stored),
        latency_s=baseline.latency_at(stored["speedup"]),
        current=baseline.is_of(stored),
    )


class FeasibleSettings:
    """Which settings of a study have a result that meets every limit; read when first asked."""

    def __init__(self, study: optuna.Study, limits: Limits) -> None:
        self._study, self._limits = study, limits
        self._verdicts: dict[Setting, bool] = {}

    @cached_property
    def _results(self) -> dict[Setting, list[Result]]:
        by_setting: dict[Setting, list[Result]] = {}
        for result in read_results(self._study):
            by_setting.setdefault(result.setting, []).append(result)
        return by_setting

    def __contains__(self, setting: object) -> bool:
        """Whether a result of the setting meets every limit."""
        if not isinstance(setting, Setting):
            return False
        if setting not in self._verdicts:
            results = self._results.get(setting, ())
            self._verdicts[setting] = any(result.feasible(self._limits) for result in results)
        return self._verdicts[setting]
