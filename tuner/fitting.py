"""Which of a study's accelerators fit its pipeline and its calls."""

from dataclasses import replace
from typing import Any

from tuner.accelerators import Accelerator
from tuner.applying.applied import applied
from tuner.errors import UnfitError
from tuner.spec import StudySpec


def fitting(spec: StudySpec, pipeline: Any, guidance_scale: float) -> tuple[StudySpec, list[str]]:
    """The spec with what fits, and a line for each accelerator that is left out.

    Raises `UnfitError` where one does not fit that was asked for by its name or its knobs, or where
    none is left.
    """
    kept, left_out = [], []
    for one in spec.accelerators:
        try:
            check_fit(one, spec, pipeline, guidance_scale)
            kept.append(one.name)
        except UnfitError as error:
            if not spec.targets_are_defaults or one.name in spec.knobs:
                raise
            left_out.append(str(error))
    if not kept:
        raise UnfitError(f"no accelerator fits: {'; '.join(left_out)}")
    if left_out:
        spec = replace(spec, search_targets=tuple(kept))
    return spec, [f"left out: {line}" for line in left_out]


def check_fit(
    accelerator: type[Accelerator], spec: StudySpec, pipeline: Any, guidance_scale: float
) -> None:
    """Raise `UnfitError` where an accelerator, with any of its knobs' values, does not fit."""
    accelerator.check(pipeline)
    gentlest = dict(accelerator.neutral)
    accelerator.from_values(gentlest).check_call(pipeline, {"guidance_scale": guidance_scale})
    for knob, values in spec.values(accelerator).items():
        for value in {min(values), max(values)}:
            with applied(pipeline, (accelerator.from_values(gentlest | {knob: value}),)):
                pass  # a value may ask for a part that this model has not
