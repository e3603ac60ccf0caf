"""The study's one baseline, as it is now: every latency of its results comes from it.

Trials keep ratios and no times: a latency is made when it is read, so that all that is shown,
exported or asked for stands beside the same figure. Each measurement keeps the latency key
(`tuner.measure.cache_keys`), a digest of the machine and the versions that it was timed with. A
speedup of another key than today's only tells which settings are worth measuring here; whether a
target is met is decided on speedups of today's key alone.

Today's key is that of the run that asks: two machines may search one study, and each writes its
own baseline into it. Where nobody measures, as in `tuner show`, it is that of the last one written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

import optuna

from tuner.measure.cache_keys import key_of, timed_parts
from tuner.storage.queries import backend_of

BASELINE = "baseline"  # study attribute: the baseline's figures, as they are now
# Study attribute: the latency key of the trials from before trials kept one of their own.
OLD_KEY = "latency_key_of_old_trials"
# By the storage of a run and the study's id: the baseline that this run measured or took up.
_OWN: WeakKeyDictionary[Any, dict[int, dict[str, Any]]] = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The study's baseline as it is now; every latency of its results comes from it."""

    latency_s: float  # seconds per image
    denoising_s: float | None = None  # of denoising alone; None in a study of older days
    latency_key: str | None = None  # of the machine and versions of today
    old_key: str | None = None  # of trials that keep no key, being from older days

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> "Baseline":
        """From a study's attributes."""
        kept = about.get(BASELINE, {})
        key = kept.get("latency_key")
        return cls(
            latency_s=kept.get("latency_s", inf),  # which no target is met by
            denoising_s=kept.get("denoising_s"),
            latency_key=key,
            old_key=about.get(OLD_KEY, key),
        )

    def is_of(self, kept: Mapping[str, Any]) -> bool:
        """Whether a measurement was timed on the machine and with the versions of today."""
        return bool(kept.get("latency_key", self.old_key) == self.latency_key)

    def latency_at(self, speedup: float) -> float:
        """Seconds per image at a speedup."""
        return self.latency_s / speedup

    def denoising_at(self, speedup: float) -> float | None:
        """Seconds per image of denoising alone, at a speedup of it."""
        return None if self.denoising_s is None else self.denoising_s / speedup


def attributes(study: optuna.Study) -> dict[str, Any]:
    """The study's attributes; the baseline among them is this run's own, where it has one."""
    own = _OWN.get(backend_of(study), {}).get(study._study_id)
    return study.user_attrs | ({} if own is None else {BASELINE: own})


def set_baseline(study: optuna.Study, figures: dict[str, Any]) -> None:
    """Keep the baseline of this run, for itself and with the study."""
    _OWN.setdefault(backend_of(study), {})[study._study_id] = figures
    study.set_user_attr(BASELINE, figures)


def keep_baseline(study: optuna.Study, measured: Any) -> None:
    """Bring the baseline of this run up to date with what a measurement found it to be."""
    now = {
        "latency_s": measured.baseline_s,
        "denoising_s": measured.baseline_denoising_s,
        "latency_key": measured.latency_key,
    }
    kept = attributes(study).get(BASELINE, {})
    own = study._study_id in _OWN.get(backend_of(study), {})
    if not own or {name: kept.get(name) for name in now} != now:
        set_baseline(study, kept | now)


def key_old_trials(study: optuna.Study) -> None:
    """Keep under which latency key trials were timed that keep none, being from older days.

    It is that of the study's last baseline, which the next one is about to replace.
    """
    about = study.user_attrs
    if BASELINE in about and "latency_key" not in about[BASELINE] and OLD_KEY not in about:
        parts = timed_parts(about.get("baseline_parts", {}))
        study.set_user_attr(OLD_KEY, key_of(parts) if parts else "unknown")
