"""What studies are expected to cost, from what studies of the same database have cost.

A study's seconds are taken as proportional to its trials, their prompts and the steps of a picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import Any

from tuner.fleet.needs import Needs
from tuner.fleet.order import model_of
from tuner.loading import device_named
from tuner.measure.device import model_of as device_model
from tuner.search.sweep.estimate import PROMPT_BYTES, TRIAL_BYTES
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.study.baseline import BASELINE
from tuner.study.costs import read_costs

LEAST = 3  # trials of a study from which its costs are expected of others
# Of a stored picture: WebP, at most 256 pixels a side.
PICTURE_BYTES = 18_000
SMALL_PICTURE_BYTES = 4_000  # of up to 96 pixels a side
SMALL_SIDE = 96


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The device seconds that a study still needs; None where nothing tells them."""

    seconds: float | None
    at_most: bool = False  # known from a baseline alone: accelerated settings take less


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What one study of the database has cost."""

    steps: int
    sched: str
    latency_s: float  # of the baseline, per picture
    unit_s: float | None  # for a step of a prompt of a trial, all costs counted; None: too few


class Costs:
    """What the studies of a sweep are expected to cost."""

    def __init__(self, storage: Storage | None, needs: Sequence[Needs]) -> None:
        """`needs`: what each study needs; without a `storage` nothing is known."""
        self._storage = storage
        self.needs = list(needs)
        self._known: dict[tuple[Any, ...], list[_Known]] = {}

    @property
    def left(self) -> list[Needs]:
        """The studies that are not complete."""
        return [each for each in self.needs if not each.complete]

    def expected(self, needs: Needs) -> Expected:
        """What one study still needs."""
        spec, left = needs.spec, needs.left
        if left is None:
            return Expected(seconds=None)
        known = sorted(self._related(spec), key=lambda other: _distance(spec, other))
        work = left * spec.num_samples * (spec.steps or 0)
        for other in known:
            if other.unit_s is not None:
                return Expected(seconds=work * other.unit_s)
        for other in known:
            return Expected(seconds=work * other.latency_s / other.steps, at_most=True)
        return Expected(seconds=None)

    @property
    def database_bytes(self) -> int:
        """By how much the database will grow; without the studies whose trials are not known."""
        sizes = (TRIAL_BYTES + PROMPT_BYTES * each.spec.num_samples for each in self.left)
        return sum(size * (each.left or 0) for size, each in zip(sizes, self.left, strict=True))

    @property
    def picture_bytes(self) -> int:
        """What the pictures of the trials that are left will take, with those of the baselines."""
        return sum(
            ((each.left or 0) + 1) * each.spec.num_samples * _picture_bytes(each.spec)
            for each in self.left
        )

    def _related(self, spec: StudySpec) -> list[_Known]:
        """The studies with the same model and size of pictures, on the same kind of device."""
        if self._storage is None or spec.pipeline is not None:
            return []
        key = model_of(spec)
        if key not in self._known:
            self._known[key] = [
                _known(self._storage, name)
                for name, stored in self._attributes.items()
                if _is_related(spec, stored)
            ]
        return self._known[key]

    @cached_property
    def _attributes(self) -> dict[str, dict[str, Any]]:
        return {} if self._storage is None else self._storage.study_attributes()


def _is_related(spec: StudySpec, stored: Mapping[str, Any]) -> bool:
    request, evaluation = stored.get("request", {}), stored.get("evaluation", {})
    if "latency_s" not in stored.get(BASELINE, {}):
        return False
    device = device_named(spec.device)
    size = spec.size(spec.family.resolution).resolution
    return (
        request.get("pipe") == spec.pipe
        and request.get("model") == spec.model
        and evaluation.get("device") == device_model(device)
        and evaluation.get("resolution") == size
        and bool(evaluation.get("compile") == spec.compile)
    )


def _known(storage: Storage, name: str) -> _Known:
    study = storage.study(name)
    stored = study.user_attrs
    baseline, request = stored[BASELINE], stored["request"]
    costs = read_costs(study)
    work = len(costs.trials) * baseline["num_samples"] * request["steps"]
    return _Known(
        steps=request["steps"],
        sched=request["sched"],
        latency_s=baseline["latency_s"],
        unit_s=costs.total.total_s / work if len(costs.trials) >= LEAST else None,
    )


def _distance(spec: StudySpec, other: _Known) -> tuple[float, bool]:
    return abs(log((spec.steps or 1) / other.steps)), spec.sched != other.sched


def _picture_bytes(spec: StudySpec) -> int:
    side = max(spec.size(spec.family.resolution))
    return SMALL_PICTURE_BYTES if side <= SMALL_SIDE else PICTURE_BYTES
