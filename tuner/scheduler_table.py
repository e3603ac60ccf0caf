"""The schedulers: under which names people type them, and what they are in diffusers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tuner import registry
from tuner.errors import UsageError

KARRAS = {"use_karras_sigmas": True}
SDE = {"algorithm_type": "sde-dpmsolver++"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One scheduler: a class in diffusers, and the options that make it this one."""

    kind: str  # the class
    options: Mapping[str, Any] = field(default_factory=dict)  # of the class, beside the model's own
    also: tuple[str, ...] = ()  # further usual names
    is_random: bool = False  # whether its steps add noise


# By name. Each makes one pass through the denoiser at a step. Of rows of the same class, the first
# has the class's own name too.
SCHEDULERS: dict[str, Row] = {
    "DDIM": Row(kind="DDIMScheduler"),
    "DPM-Solver++": Row(kind="DPMSolverMultistepScheduler", also=("DPM++ 2M",)),
    "UniPC": Row(kind="UniPCMultistepScheduler"),
    "FlowMatchEuler": Row(kind="FlowMatchEulerDiscreteScheduler"),
    "Euler": Row(kind="EulerDiscreteScheduler"),
    "Euler a": Row(
        kind="EulerAncestralDiscreteScheduler", also=("Euler ancestral",), is_random=True
    ),
    "Euler Karras": Row(kind="EulerDiscreteScheduler", options=KARRAS),
    "DPM++ 2M Karras": Row(kind="DPMSolverMultistepScheduler", options=KARRAS),
    "DPM++ 2M SDE": Row(kind="DPMSolverMultistepScheduler", options=SDE, is_random=True),
    "DPM++ 2M SDE Karras": Row(
        kind="DPMSolverMultistepScheduler", options=SDE | KARRAS, is_random=True
    ),
    "DPM++ 2S": Row(kind="DPMSolverSinglestepScheduler"),
    "DPM++ 2S Karras": Row(kind="DPMSolverSinglestepScheduler", options=KARRAS),
    "UniPC Karras": Row(kind="UniPCMultistepScheduler", options=KARRAS),
    "LMS": Row(kind="LMSDiscreteScheduler"),
    "LMS Karras": Row(kind="LMSDiscreteScheduler", options=KARRAS),
    "DEIS": Row(kind="DEISMultistepScheduler"),
    "DDPM": Row(kind="DDPMScheduler", is_random=True),
    "LCM": Row(kind="LCMScheduler", is_random=True),
    "TCD": Row(kind="TCDScheduler"),  # pipelines call it with eta = 0: without noise
    "SA-Solver": Row(kind="SASolverScheduler", is_random=True),
    "DDIMParallel": Row(kind="DDIMParallelScheduler"),
    "DDPMParallel": Row(kind="DDPMParallelScheduler", is_random=True),
    "EDM Euler": Row(kind="EDMEulerScheduler"),
    "EDM DPM++ 2M": Row(kind="EDMDPMSolverMultistepScheduler"),
    "FlowMatchLCM": Row(kind="FlowMatchLCMScheduler", is_random=True),
}

# Schedulers that make several passes at a step: usual names and classes in diffusers.
SEVERAL_PASSES = {
    "Heun": "HeunDiscreteScheduler",
    "DPM2": "KDPM2DiscreteScheduler",
    "DPM2 a": "KDPM2AncestralDiscreteScheduler",
    "DPM++ SDE": "DPMSolverSDEScheduler",
    "PNDM": "PNDMScheduler",
    "PLMS": "PNDMScheduler",
    "FlowMatchHeun": "FlowMatchHeunDiscreteScheduler",
}


def name_of(text: str) -> str:
    """The name in `SCHEDULERS` of a scheduler, from any usual name or its diffusers class.

    Case and punctuation do not matter.

    Raises:
        UsageError: the scheduler is unknown, and the message lists the names; or it makes several
            passes at a step.
    """
    plain = registry.plain(text)
    classes: dict[str, str] = {}
    for name, row in SCHEDULERS.items():
        if plain in {registry.plain(known) for known in (name, *row.also)}:
            return name
        classes.setdefault(registry.plain(row.kind), name)
    if plain in classes:
        return classes[plain]
    for name, kind in SEVERAL_PASSES.items():
        if plain in (registry.plain(name), registry.plain(kind)):
            raise UsageError(
                f"{text} makes several passes through the denoiser at a step, and accelerators "
                f"need one; use one of {', '.join(SCHEDULERS)}"
            )
    raise UsageError(f"unknown scheduler {text!r}; known: {', '.join(SCHEDULERS)}")


def options_of(name: str) -> list[str]:
    """The options in which a scheduler differs from the others of its class."""
    same_class = [row for row in SCHEDULERS.values() if row.kind == SCHEDULERS[name].kind]
    return sorted({option for row in same_class for option in row.options})
