"""Which study of a `search_params.json` a pipeline's call uses."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any
from weakref import ref

from tuner.accelerators import Accelerator
from tuner.errors import UsageError
from tuner.loading import DTYPES, fingerprint, weighed
from tuner.pipelines.arguments import guidance_of, size_of
from tuner.pipelines.calls import steps_that_run
from tuner.pipelines.denoiser import denoiser_of
from tuner.schedulers import SCHEDULERS, name_of
from tuner.setting import Setting


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One study of a file: its best setting, and what that was measured with."""

    name: str
    scheduler: str  # the diffusers class
    steps: int
    setting: Setting
    evaluation: Mapping[str, Any]  # empty in a file that does not tell


@dataclass(kw_only=True)
class Choices:
    """The studies of a file that are of a pipeline's class and weights."""

    contents: Mapping[str, Any]
    steps: int | None = None  # the study of this number, whatever a call asks for
    _found: list[Choice] = field(default_factory=list)
    _of: Any = None  # the denoiser that they are of
    _told: set[str] = field(default_factory=set)

    def now(self, pipeline: Any) -> list[Choice]:
        """Those that fit the pipeline with its scheduler; a `UsageError` where none does."""
        denoiser = denoiser_of(pipeline)
        if self._of is None or self._of() is not denoiser:
            self._found, self._of = self._of_weights(pipeline), ref(denoiser)
        scheduler = type(pipeline.scheduler).__name__
        found = [one for one in self._found if one.scheduler == scheduler]
        if self.steps is not None:
            found = _of_steps(found, self.steps) if found else found
        if not found:
            raise UsageError(
                f"no feasible study for {type(pipeline).__name__} with {scheduler}; "
                f"the file has: {_listed(self.contents)}"
            )
        return found

    def __call__(self, pipeline: Any, arguments: Mapping[str, Any]) -> Sequence[Accelerator]:
        """The accelerators of a call; warns once where it was measured otherwise."""
        found = self.now(pipeline)
        if self.steps is None:
            found = _of_steps(found, steps_that_run(pipeline, arguments))
        size = size_of(pipeline, denoiser_of(pipeline), arguments)
        guidance = guidance_of(arguments)

        def distance(one: Choice) -> tuple[float, float]:
            return _apart(one.evaluation, size), abs(_guidance(one, guidance) - (guidance or 0))

        nearest = min(map(distance, found))
        best = [one for one in found if distance(one) == nearest]
        if len({str(one.setting) for one in best}) > 1:
            names = " and ".join(one.name for one in best)
            raise UsageError(f"{names} fit this call alike: export a single one with --study")
        self._warn(best[0], size, guidance)
        return best[0].setting.accelerators

    def _warn(self, one: Choice, size: tuple[int, int] | None, guidance: float | None) -> None:
        others = []
        side = one.evaluation.get("resolution")
        if _apart(one.evaluation, size) and size is not None:
            others.append(f"{side}x{side} pixels, and this call is of {size[1]}x{size[0]}")
        if _guidance(one, guidance) != (guidance or 0):
            others.append(
                f"guidance {one.evaluation['guidance']:g}, and this call has {guidance:g}"
            )
        if others:
            self._tell(f"{one.name} was measured at {'; at '.join(others)}")

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            warnings.warn(line, stacklevel=2)

    def _of_weights(self, pipeline: Any) -> list[Choice]:
        """The feasible studies of this class, and of these weights where the file tells them."""
        mine = [
            Choice(
                name=name,
                scheduler=SCHEDULERS[name_of(study["sched"])],
                steps=int(study["steps"]),
                setting=Setting.of(study["best"]["params"]),
                evaluation=study.get("evaluation", {}),
            )
            for name, study in self.contents["studies"].items()
            if study["pipeline"] == type(pipeline).__name__ and study["best"] is not None
        ]
        dtype = str(denoiser_of(pipeline).dtype).removeprefix("torch.")
        known: dict[str | None, str] = {}
        same, unsure, others = [], [], []
        for one in mine:
            wanted, theirs = one.evaluation.get("weights"), one.evaluation.get("dtype", dtype)
            if wanted is None:
                same.append(one)
                continue
            as_if = theirs if theirs != dtype and theirs in DTYPES else None
            if as_if not in known:
                known[as_if] = fingerprint(pipeline, as_if)
            if known[as_if] == wanted:
                same.append(one)
            elif as_if is not None and dtype != "float32":
                unsure.append(one)  # rounded once already
            else:
                others.append(one)
        if same or not (unsure or others):
            return same
        extended = [one for one in (*unsure, *others) if _is_of_less(one, pipeline, dtype)]
        if extended:
            self._tell(
                f"{extended[0].name} was measured with these weights, but without the IP-Adapter "
                "or image_encoder that this pipeline has: what it says of speed and quality holds "
                "for calls without ip_adapter_image"
            )
            return extended
        if len({one.evaluation["weights"] for one in unsure}) == 1:
            self._tell(
                f"{unsure[0].name} was measured in {unsure[0].evaluation['dtype']} and this "
                f"pipeline is in {dtype}: whether it has the same weights cannot be told"
            )
            return unsure
        theirs = "; ".join(
            f"{one.name} is of {one.evaluation['weights']} in {one.evaluation.get('dtype')}"
            for one in (*unsure, *others)
        )
        here, parts = fingerprint(pipeline), ", ".join(weighed(pipeline))
        raise UsageError(
            f"the file has no study of these weights ({parts} together are {here} in {dtype}): "
            f"{theirs}; load all of these parts as they were measured, or apply a setting itself, "
            "as accelerator → knob → value"
        )


def _is_of_less(one: Choice, pipeline: Any, dtype: str) -> bool:
    """Whether a study is of these weights without what an IP-Adapter adds."""
    theirs = one.evaluation.get("dtype", dtype)
    as_if = theirs if theirs != dtype and theirs in DTYPES else None
    return bool(fingerprint(pipeline, as_if, ip_adapter=False) == one.evaluation["weights"])


def _of_steps(found: list[Choice], steps: int) -> list[Choice]:
    fitting = [one for one in found if one.steps == steps]
    if not fitting:
        has = ", ".join(str(number) for number in sorted({one.steps for one in found}))
        raise UsageError(f"no study with {steps} steps; the file has {has}")
    return fitting


def _apart(evaluation: Mapping[str, Any], size: tuple[int, int] | None) -> float:
    """How far a call's size is from the measured one; 0 where it is the same or not told."""
    side = evaluation.get("resolution")
    if side is None or size is None:
        return 0.0
    return sum(abs(log(pixels / side)) for pixels in size)


def _guidance(one: Choice, asked: float | None) -> float:
    """The measured guidance; the call's own where one of them is not told."""
    measured = one.evaluation.get("guidance")
    return (asked or 0.0) if measured is None or asked is None else float(measured)


def _listed(contents: Mapping[str, Any]) -> str:
    return (
        ", ".join(
            f"{name} ({study['pipeline']}, {study['sched']}, {study['steps']} steps"
            f"{'' if study['best'] else ', nothing feasible'})"
            for name, study in contents["studies"].items()
        )
        or "none"
    )
