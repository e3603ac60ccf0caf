"""One study of a `search_params.json`: the setting that is applied, and for which calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any

from tuner.errors import UsageError
from tuner.loading import DTYPES
from tuner.params.pick import chosen_point, point_picked_by
from tuner.pipelines.call_arguments import in_json, is_picture
from tuner.scheduler_table import SCHEDULERS, name_of
from tuner.setting import Setting
from tuner.size import Size


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One study of a file: its chosen setting, and under which conditions that was measured."""

    name: str
    scheduler: str  # the class in diffusers
    scheduler_options: Mapping[str, Any]  # its configuration, as far as it tells studies apart
    steps: int
    setting: Setting
    evaluation: Mapping[str, Any]  # empty if the file has none
    versions: Mapping[str, str]  # of the packages; empty if the file has none
    picked: str | None = None  # the rule that picked the setting; None: it is the best one
    verified: bool = True  # whether the setting has a verification

    @property
    def weights(self) -> str | None:
        """Fingerprint of the weights; None if the file has none."""
        return self.evaluation.get("weights")

    def dtype(self, default: str) -> str:
        """Precision of the measured weights; the default if the file does not name it."""
        return str(self.evaluation.get("dtype", default))

    def cast(self, dtype: str) -> str | None:
        """The precision to which weights are cast before their fingerprint is compared, or None.

        `dtype` is the precision that they have.
        """
        measured = self.dtype(dtype)
        return measured if measured != dtype and measured in DTYPES else None

    def size_distance(self, size: Size | None) -> float:
        """How far a call's image size is from the measured one; 0 if either is unknown.

        It is the sum of the absolute logarithms of the ratios of both sides.
        """
        measured = Size.of(self.evaluation)
        if measured is None or size is None:
            return 0.0
        return sum(abs(log(pixels / side)) for pixels, side in zip(size, measured, strict=True))

    @property
    def is_own(self) -> bool:
        """Whether the study is of a pipeline that its user made, with its own call."""
        return "scheduler" in self.evaluation

    def other_arguments(self, called: Mapping[str, Any]) -> list[str]:
        """The names of plain arguments whose measured value is not that of a call.

        Pictures are not compared: each call has its own. Neither is the number of steps.

        Args:
            called: the call's arguments by name, with the defaults.
        """
        return [
            name
            for name, value in self.evaluation.get("call", {}).items()
            if name != "num_inference_steps"
            and not is_picture(name)
            and _in_json(name, called.get(name)) != value
        ]

    def guidance(self, called: float | None) -> float:
        """The measured guidance; that of the call if either is unknown."""
        measured = self.evaluation.get("guidance")
        return (called or 0.0) if measured is None or called is None else float(measured)


def choices_of_class(
    contents: Mapping[str, Any], pipeline_class: str, pick: str | None
) -> tuple[list[Choice], list[UsageError]]:
    """The chosen settings of a pipeline class's studies.

    A study in which the rule `pick` picks nothing is left out; the errors say why.
    """
    choices: list[Choice] = []
    errors: list[UsageError] = []
    for name, study in contents["studies"].items():
        if study["pipeline"] != pipeline_class:
            continue
        try:
            choice = _choice(name, study, pick)
        except UsageError as error:
            errors.append(error)
            continue
        choices += [] if choice is None else [choice]
    return choices, errors


def _choice(name: str, study: Mapping[str, Any], pick: str | None) -> Choice | None:
    """What is applied of a study; None if nothing is feasible and nothing was picked."""
    point = chosen_point(study) if pick is None else point_picked_by(pick, study, name)
    if point is None:
        return None
    in_file = study["picked"]["rule"] if "picked" in study else None
    scheduler = SCHEDULERS[name_of(study["sched"])]
    evaluation = study.get("evaluation", {})
    return Choice(
        name=name,
        scheduler=scheduler.kind,
        scheduler_options=evaluation.get("scheduler_options", scheduler.options),
        steps=int(study["steps"]),
        setting=Setting.of(point["params"]),
        evaluation=evaluation,
        versions=study.get("versions", {}),
        picked=in_file if pick is None else pick,
        verified=bool(point.get("verified")),
    )


def _in_json(name: str, value: Any) -> Any:
    """A call's argument as a study stores it; None if no study can have it."""
    try:
        return in_json(name, value)
    except UsageError:
        return None
