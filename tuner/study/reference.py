"""The reference rows of a study: what the plain pipeline measures with fewer steps.

They are stored with the study, because a finished trial that no sampler proposed would confuse
samplers, and read as results are: their latencies follow from the study's current baseline.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from tuner.measure.figures import Figures
from tuner.study.baseline import Baseline, attributes
from tuner.study.schema import REFERENCE, figures_of
from tuner.study.verifications import as_list, effective_of


@dataclass(frozen=True, kw_only=True)
class ReferenceRow(Figures):
    """The figures of the plain pipeline with fewer steps, over the baseline's prompts and noise.

    Speedup and score loss are against the baseline, which has the study's number of steps.
    """

    steps: int
    latency_s: float  # seconds per image: the study's baseline over the speedup
    current: bool = True  # timed under the current latency key

    @property
    def is_predicted(self) -> bool:
        """Whether the speedup follows from the number of steps, and one pair of batches agrees."""
        return self.speedup_from == "model"


def read_reference(
    study: optuna.Study, study_attrs: Mapping[str, Any] | None = None
) -> list[ReferenceRow]:
    """The reference rows, slowest first; none where they were not measured.

    `study_attrs` are the study's attributes, where the caller has read them already.
    """
    study_attrs = attributes(study) if study_attrs is None else study_attrs
    baseline = Baseline.of(study_attrs)
    rows = [
        ReferenceRow(
            **figures_of(stored),
            steps=int(steps),
            latency_s=baseline.latency_at(stored["speedup"]),
            current=baseline.is_of(stored),
        )
        for steps, entries in study_attrs.get(REFERENCE, {}).items()
        if (stored := effective_of(as_list(entries), baseline)) and "failed" not in stored
    ]
    return sorted(rows, key=lambda row: -row.steps)


def unmeasurable_steps(study: optuna.Study) -> dict[int, str]:
    """The numbers of steps that could not be measured on this machine, and why."""
    study_attrs = attributes(study)
    baseline = Baseline.of(study_attrs)
    return {
        int(steps): entry["failed"]
        for steps, entries in study_attrs.get(REFERENCE, {}).items()
        for entry in as_list(entries)
        if entry.get("for_good") and baseline.is_of(entry)
    }
