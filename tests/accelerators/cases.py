"""The cases of the conformance suite: every allowed combination on every family that it fits.

A new accelerator needs one line in `STRONG`, and nothing else.
"""

import inspect
from collections.abc import Callable
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.helpers.pipelines import FAMILIES, PROMPTS, SCHEDULERS_OF, new, pictures, tiny
from tuner import registry
from tuner.accelerators import Accelerator, Value
from tuner.applying.applied import applied, check
from tuner.errors import UnfitError, UsageError
from tuner.schedulers import set_scheduler
from tuner.setting import Params, Setting
from tuner.spec import StudySpec

# Strong enough to change the pictures in a few steps. T-GATE's warm-up step and its gate fall on
# steps that this DeepCache skips.
STRONG: Params = {
    "deepcache": {"cache_interval": 3, "cache_branch_id": 0},
    "deepcache-window": {"cache_interval": 3, "cache_branch_id": 0, "start": 2, "end": 7},
    "fastercache": {"guidance_interval": 4, "attention_interval": 3, "warmup": 1},
    "fbcache": {"threshold": 0.4},
    "magcache": {"max_skip_steps": 3, "threshold": 0.24, "retention": 0.1},
    "pab": {"cross_interval": 6, "self_interval": 4, "warmup": 1},
    "taylorseer": {"cache_interval": 5, "warmup": 1, "max_order": 1},
    "tgate": {"gate_step": 6, "sp_interval": 5, "fi_interval": 2, "warmup": 1},
    "tome": {"ratio": 0.5, "max_downsample": 2},
}

# A plan cannot say what these compute.
DECIDE_BY_THE_PICTURE = {"fbcache"}

Names = tuple[str, ...]
BY_DEFAULT = set(StudySpec().search_targets)
KNOWN: dict[str, type[Accelerator]] = registry.components("accelerators")


def setting(names: Names) -> Setting:
    return Setting.of({name: STRONG[name] for name in names})


def neutral(names: Names) -> Setting:
    """A setting that is applied and changes nothing."""
    return Setting.of({name: KNOWN[name].neutral for name in names})


def another(names: Names) -> Setting:
    """The first knob's first value and the others' last ones."""
    params: dict[str, dict[str, Value]] = {}
    for name in names:
        first, *others = KNOWN[name].knobs()
        params[name] = {first.name: first.values[0]} | {
            knob.name: knob.values[-1] for knob in others
        }
    return Setting.of(params)


def allowed(names: Names) -> bool:
    try:
        neutral(names)
    except UsageError:
        return False
    return True


def fits(names: Names, family: str) -> bool:
    try:
        check(tiny(family), setting(names).accelerators)
    except UnfitError:
        return False
    return True


ALLOWED = [
    names
    for size in range(1, len(KNOWN) + 1)
    for names in combinations(KNOWN, size)
    if allowed(names)
]
FITTING = [
    (names, family)
    for names in ALLOWED
    for family in FAMILIES
    # Combinations that no study searches by default run on one of the two U-Nets.
    if (len(names) == 1 or set(names) <= BY_DEFAULT or family != "sdxl") and fits(names, family)
]
UNFIT = [(name, family) for name in KNOWN for family in FAMILIES if not fits((name,), family)]

every_accelerator = pytest.mark.parametrize("name", KNOWN)
every_fitting = pytest.mark.parametrize(
    ("names", "family"),
    [pytest.param(*case, id=f"{'+'.join(case[0])}-{case[1]}") for case in FITTING],
)
ON_ONE = dict(reversed(FITTING))  # combination -> one family that it fits
every_combination = pytest.mark.parametrize(
    ("names", "family"),
    [pytest.param(*case, id="+".join(case[0])) for case in ON_ONE.items()],
)
every_alone_and_all_together = pytest.mark.parametrize(  # other combinations are slow
    ("names", "family"),
    [
        pytest.param(
            names,
            family,
            id="+".join(names),
            marks=[pytest.mark.slow] if len(names) > 1 and {*names} != BY_DEFAULT else [],
        )
        for names, family in ON_ONE.items()
    ],
)


def schedulers(number: int, names: Names, family: str) -> Names:
    """All schedulers on SD and one of them on SDXL, for what a study searches by default."""
    known = SCHEDULERS_OF[family]
    if not set(names) <= BY_DEFAULT:
        return known[:1]
    return known if family == "sd" else known[number % len(known) :][:1]


def further(names: Names, family: str, scheduler: str) -> bool:
    """Whether a case is slow: SD's further schedulers and SDXL's combinations, except all on."""
    if set(names) == BY_DEFAULT:
        return False
    combined_again = family == "sdxl" and len(names) > 1
    return combined_again or (family == "sd" and scheduler != SCHEDULERS_OF[family][0])


every_scheduled = pytest.mark.parametrize(
    ("names", "family", "scheduler"),
    [
        pytest.param(
            names,
            family,
            scheduler,
            id=f"{'+'.join(names)}-{family}-{scheduler}",
            marks=[pytest.mark.slow] if further(names, family, scheduler) else [],
        )
        for number, (names, family) in enumerate(FITTING)
        for scheduler in schedulers(number, names, family)
    ],
)


@st.composite
def any_setting(draw: Any, family: str) -> Setting:
    """A setting of the values that a search tries, "off" included."""
    parts: list[Accelerator] = []
    for accelerator in KNOWN.values():
        first, *others = accelerator.knobs()
        value = draw(st.sampled_from((first.off, *first.values)))
        names = (*(part.name for part in parts), accelerator.name)
        if value != first.off and allowed(names) and fits(names, family):
            rest = {knob.name: draw(st.sampled_from(knob.values)) for knob in others}
            parts.append(accelerator.from_values({first.name: value, **rest}))
    return Setting(accelerators=tuple(parts))


@cache
def baseline(family: str, scheduler: str | None = None) -> np.ndarray:
    """The pictures of a pipeline to which nothing was ever applied."""
    pipeline = new(family)
    set_scheduler(pipeline, scheduler or SCHEDULERS_OF[family][0])
    return pictures(pipeline)


@cache
def accelerated(family: str, names: Names, scheduler: str | None = None) -> np.ndarray:
    """The strong setting's pictures, of a pipeline that no test uses."""
    pipeline = _separate(family)
    set_scheduler(pipeline, scheduler or SCHEDULERS_OF[family][0])
    with applied(pipeline, setting(names).accelerators) as generate:
        return pictures(generate)


@cache
def _separate(family: str) -> Any:
    return new(family)


class BrokenOff(BaseException):
    """Raised during a generation; like `KeyboardInterrupt`, it is no `Exception`."""


def break_off(generate: Callable[..., Any], *prompts: str, first: int = 0) -> None:
    """Generate, and raise `BrokenOff` after the fourth step."""

    def after_step(*args: Any) -> Any:
        # The older pipelines' callback lacks the first argument, the pipeline.
        if 3 in args[:2]:
            raise BrokenOff
        return args[-1]

    known = inspect.signature(generate).parameters
    name = "callback_on_step_end" if "callback_on_step_end" in known else "callback"
    pictures(generate, prompts or PROMPTS[:2], first=first, **{name: after_step})
