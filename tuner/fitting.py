"""Which of a study's accelerators fit its pipeline and its calls."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tuner.accelerators import Accelerator
from tuner.applying.applied import applied
from tuner.errors import UnfitError, UsageError
from tuner.pipelines.calls import is_guided, values_of
from tuner.spec import StudySpec


def fitting(
    spec: StudySpec, pipeline: Any, arguments: Mapping[str, Any]
) -> tuple[StudySpec, list[str]]:
    """The spec with the accelerators that fit, and a line for each accelerator that was removed.

    Args:
        spec: the study.
        pipeline: a diffusers pipeline.
        arguments: of its calls, as far as all of them have the same.

    Raises:
        UnfitError: an accelerator does not fit that the user named, or whose knobs the user set; or
            no accelerator fits.
    """
    fits: list[str] = []
    reasons: list[str] = []  # why the others do not fit
    for accelerator in spec.accelerators:
        try:
            check_fit(accelerator, spec, pipeline, arguments)
            fits.append(accelerator.name)
        except UnfitError as error:
            if not spec.targets_are_defaults or accelerator.name in spec.knobs:
                raise
            reasons.append(str(error))
    if not fits:
        raise UnfitError(f"no accelerator fits: {'; '.join(reasons)}; set search_targets to others")
    if reasons:
        spec = replace(spec, search_targets=tuple(fits))
    return spec, [f"left out: {reason}" for reason in reasons]


def check_negative_prompt(pipeline: Any, guidance_scale: float) -> None:
    """Check that a negative prompt has an effect.

    Raises:
        UsageError: the pipeline takes none, or makes no pass for it.
    """
    key, name = ("negative_prompt",), type(pipeline).__name__
    if "negative_prompt" not in values_of(pipeline, {}):
        raise UsageError(f"{name} takes no negative_prompt; leave it out", key=key)
    if not is_guided(pipeline, {"guidance_scale": guidance_scale}):
        raise UsageError(
            f"negative_prompt has no effect with {name} at guidance_scale {guidance_scale:g}, "
            "where no second pass is made for it; leave it out",
            key=key,
        )


def check_fit(
    accelerator: type[Accelerator], spec: StudySpec, pipeline: Any, arguments: Mapping[str, Any]
) -> None:
    """Check that an accelerator fits, with each knob's smallest and largest value in the study.

    Raises:
        UnfitError: it does not fit the pipeline, the call, or with a value of a knob.
    """
    accelerator.check(pipeline)
    neutral = dict(accelerator.neutral)
    accelerator.from_values(neutral).check_call(pipeline, dict(arguments))
    for knob, values in spec.values(accelerator).items():
        for value in {min(values), max(values)}:
            with applied(pipeline, (accelerator.from_values(neutral | {knob: value}),)):
                pass  # raises if the value needs a part that this model does not have
