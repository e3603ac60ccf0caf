"""The study's one baseline, as it is now: every latency of its results comes from it.

Trials keep ratios and no times: a latency is made when it is read, so that all that is shown,
exported or asked for stands beside the same figure. Each measurement keeps the latency key
(`tuner.measure.baseline`) under which it was timed: a ratio of another machine or of other versions
says where to look, and decides no target.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import optuna

from tuner.measure.baseline import key_of, timed_parts

BASELINE = "baseline"  # study attribute: the baseline's figures, as they are now
OLD_KEY = "latency_key_of_old_trials"  # study attribute: of trials that keep none of their own


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


def keep_baseline(study: optuna.Study, measured: Any) -> None:
    """Bring the study's baseline up to date with what a measurement found it to be."""
    now = {
        "latency_s": measured.baseline_s,
        "denoising_s": measured.baseline_denoising_s,
        "latency_key": measured.latency_key,
    }
    kept = study.user_attrs.get(BASELINE, {})
    if {name: kept.get(name) for name in now} != now:
        study.set_user_attr(BASELINE, kept | now)


def key_old_trials(study: optuna.Study) -> None:
    """Keep under which latency key trials were timed that keep none, being from older days.

    It is that of the study's last baseline, which the next one is about to replace.
    """
    about = study.user_attrs
    if BASELINE in about and "latency_key" not in about[BASELINE] and OLD_KEY not in about:
        parts = timed_parts(about.get("baseline_parts", {}))
        study.set_user_attr(OLD_KEY, key_of(parts) if parts else "unknown")
