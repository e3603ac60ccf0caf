"""The study's baseline as it is now: every latency of its results is computed from it.

Trials store ratios and no times. A latency is computed when it is read, so that every latency that
is shown, exported or compared with a target belongs to the same baseline. Each measurement stores
the latency key under which it was timed (`tuner.measure.cache_keys`): a digest of the machine and
the versions. A speedup of another key only shows which settings are worth measuring here; whether a
target is met is decided by speedups of the current key alone.

The current key is that of the running process: two machines may search one study, and each
writes its own baseline into it. Where nothing is measured, as in
`tuner show`, it is that of the last baseline that was written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

import optuna

from tuner.measure.cache_keys import key_of, timed_parts
from tuner.measure.measurement import Measurement
from tuner.storage.log import log_of

BASELINE = "baseline"  # study attribute: the baseline's figures, as they are now
PARTS = "baseline_parts"  # study attribute: what its cache keys were made of
# Study attribute: the latency key of trials from a version that stored none with them.
OLD_KEY = "latency_key_of_old_trials"
# By storage and study id: the baseline that this process measured or read from the database.
_OWN: WeakKeyDictionary[Any, dict[int, dict[str, Any]]] = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The latencies of the study's baseline, as they are now."""

    latency_s: float  # seconds per image
    denoising_s: float | None = None  # of denoising alone; None in a study of an old version
    latency_key: str | None = None  # the current one
    old_key: str | None = None  # of trials that store no key

    @classmethod
    def of(cls, study_attrs: Mapping[str, Any]) -> "Baseline":
        """From a study's attributes."""
        stored = study_attrs.get(BASELINE, {})
        key = stored.get("latency_key")
        return cls(
            latency_s=stored.get("latency_s", inf),  # which meets no target
            denoising_s=stored.get("denoising_s"),
            latency_key=key,
            old_key=study_attrs.get(OLD_KEY, key),
        )

    def is_of(self, stored: Mapping[str, Any]) -> bool:
        """Whether a measurement, by its attributes, was timed under the current latency key."""
        return bool(stored.get("latency_key", self.old_key) == self.latency_key)

    def latency_at(self, speedup: float) -> float:
        """Seconds per image at a speedup."""
        return self.latency_s / speedup

    def denoising_at(self, speedup: float) -> float | None:
        """Seconds per image of denoising alone, at a speedup of it."""
        return None if self.denoising_s is None else self.denoising_s / speedup


def attributes(study: optuna.Study) -> dict[str, Any]:
    """The study's attributes; the baseline among them is this process's own, if it has one."""
    own = _own(study)
    return study.user_attrs | ({} if own is None else {BASELINE: own})


def set_baseline(study: optuna.Study, figures: dict[str, Any]) -> None:
    """Store a baseline with the study, and as this process's own."""
    storage, number = log_of(study).key
    _OWN.setdefault(storage, {})[number] = figures
    study.set_user_attr(BASELINE, figures)


def keep_baseline(study: optuna.Study, measured: Measurement) -> None:
    """Update this process's baseline to the latencies of a measurement."""
    latencies = {
        "latency_s": measured.baseline_s,
        "denoising_s": measured.baseline_denoising_s,
        "latency_key": measured.latency_key,
    }
    stored = attributes(study).get(BASELINE, {})
    changed = {name: stored.get(name) for name in latencies} != latencies
    if changed or _own(study) is None:
        set_baseline(study, stored | latencies)


def _own(study: optuna.Study) -> dict[str, Any] | None:
    storage, number = log_of(study).key
    return _OWN.get(storage, {}).get(number)


def key_old_trials(study: optuna.Study) -> None:
    """Store the latency key of trials that have none of their own.

    It is that of the study's last baseline, which the next one is about to replace.
    """
    study_attrs = study.user_attrs
    if (
        BASELINE in study_attrs
        and "latency_key" not in study_attrs[BASELINE]
        and OLD_KEY not in study_attrs
    ):
        parts = timed_parts(study_attrs.get(PARTS, {}))
        study.set_user_attr(OLD_KEY, key_of(parts) if parts else "unknown")
