"""Every scheduler of diffusers that text-to-image models can use is known, or refused truly."""

from typing import Any

import diffusers
import pytest

from tuner.errors import UsageError
from tuner.scheduler_table import SCHEDULERS, SEVERAL_PASSES, name_of

# For other tasks (inversion, inpainting, video, audio, proteins, text), for discrete tokens, for a
# decoder or for one model alone: not one of them samples from a text-to-image model in general.
FOR_OTHER_MODELS = {
    "AmusedScheduler",
    "BlockRefinementScheduler",
    "CMStochasticIterativeScheduler",
    "CogVideoXDDIMScheduler",
    "CogVideoXDPMScheduler",
    "CosineDPMSolverMultistepScheduler",
    "DDIMInverseScheduler",
    "DDPMWuerstchenScheduler",
    "DPMSolverMultistepInverseScheduler",
    "DiscreteDDIMScheduler",
    "EntropyBoundScheduler",
    "FlowMapEulerDiscreteScheduler",
    "HeliosDMDScheduler",
    "HeliosScheduler",
    "IPNDMScheduler",
    "KarrasVeScheduler",
    "LTXEulerAncestralRFScheduler",
    "MiniMaxH3Scheduler",
    "PiflowScheduler",
    "RFD4ProteinaScheduler",
    "RePaintScheduler",
    "SCMScheduler",
    "ScoreSdeVeScheduler",
    "UnCLIPScheduler",
    "VQDiffusionScheduler",
}


def test_every_scheduler_of_diffusers_is_known_or_refused() -> None:
    classes = {name for name in dir(diffusers) if name.endswith("Scheduler")}
    known = {row.kind for row in SCHEDULERS.values()} | set(SEVERAL_PASSES.values())
    assert classes - FOR_OTHER_MODELS == known


def test_schedulers_that_are_known_make_one_pass_a_step() -> None:
    assert {getattr(diffusers, row.kind).order for row in SCHEDULERS.values()} == {1}


@pytest.mark.parametrize("row", SCHEDULERS.values(), ids=SCHEDULERS)
def test_the_options_of_a_scheduler_are_those_of_its_class(row: Any) -> None:
    scheduler = getattr(diffusers, row.kind)(**row.options)
    assert row.options.items() <= scheduler.config.items()


@pytest.mark.parametrize("name", [*SEVERAL_PASSES, *SEVERAL_PASSES.values()])
def test_a_scheduler_that_makes_several_passes_is_refused(name: str) -> None:
    with pytest.raises(
        UsageError, match=f"^{name.replace('+', '.')} makes several passes .*DDIM, "
    ):
        name_of(name)


def test_no_two_schedulers_share_a_name() -> None:
    names = [name for key, row in SCHEDULERS.items() for name in (key, *row.also)]
    assert [name_of(name) for name in names] == [
        key for key, row in SCHEDULERS.items() for _ in (key, *row.also)
    ]
