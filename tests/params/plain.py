"""Running the code that `tuner export --format diffusers` writes, on tiny pipelines."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from tests.accelerators.cases import FITTING, Names, setting
from tests.helpers.pipelines import STEPS, pictures, tiny
from tests.params.files import EVALUATION
from tuner.errors import UnfitError
from tuner.params.as_diffusers import codes_of
from tuner.plain_code import PlainCode


def conditions(family: str, **changes: Any) -> dict[str, Any]:
    """A study of a tiny pipeline in the file, as far as its code depends on it."""
    evaluation = EVALUATION | {"device_type": "cpu", "seed": 0, "batch": 1} | changes
    return {"pipeline": type(tiny(family)).__name__, "steps": STEPS, "evaluation": evaluation}


def cases(**changes: Any) -> list[tuple[Names, str]]:
    """The settings of the conformance suite that can be written, under changed conditions.

    On SDXL the code is that of SD, but for T-GATE's loop.
    """
    return [
        (names, family)
        for names, family in FITTING
        if (family != "sdxl" or names == ("tgate",)) and is_written(names, family, **changes)
    ]


def is_written(names: Names, family: str, **changes: Any) -> bool:
    try:
        codes_of(setting(names), conditions(family, **changes))
    except UnfitError:
        return False
    return True


def case_id(part: Names | str) -> str:
    return part if isinstance(part, str) else "+".join(part)


def running(pipe: Any, codes: list[PlainCode]) -> Callable[..., np.ndarray]:
    """Run the code for a pipeline; returns what draws pictures of prompts then."""
    variables = {"pipe": pipe}
    exec("import torch\n" + "\n".join(line for code in codes for line in code.imports), variables)
    exec("\n".join(line for code in codes for line in code.setup), variables)

    def generate(prompts: tuple[str, ...]) -> np.ndarray:
        with ExitStack() as contexts:
            for code in codes:
                exec("\n".join(code.before), variables)
                if code.context is not None:
                    contexts.enter_context(eval(code.context, variables))
            call = next((code.call for code in codes if code.call != "pipe"), "pipe")
            arguments = {name: value for code in codes for name, value in code.arguments.items()}
            return pictures(eval(call, variables), prompts, **arguments)

    return generate
