"""Applying what a study found: for a ``with`` block, or for good."""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from tuner.accelerators._applied import Generate
from tuner.accelerators._applied import applied as applied_accelerators
from tuner.errors import UsageError
from tuner.schedulers import SCHEDULERS, name_of
from tuner.setting import Setting

Source = Setting | Mapping[str, Any] | str | Path


@contextmanager
def applied(
    pipe: Any, source: Source, *, steps: int | None = None, seed: int = 42
) -> Iterator[Generate]:
    """Accelerate a pipeline for the length of a ``with`` block.

    The same code runs in a trial. Afterwards the pipeline is as it was, bit for bit.

    Args:
        pipe: a diffusers pipeline.
        source: a setting, as accelerator → knob → value; or a `search_params.json` (its path or
            its contents), whose study of this pipeline class and scheduler is used.
        steps: which study of a file, where it has this pipeline with several numbers of steps.
        seed: fixes what an accelerator draws at random; the studies' default.

    Yields:
        `generate`, which takes the pipeline's own arguments.

    Raises:
        UsageError: nothing in the file fits, or an accelerator does not fit the pipeline.
    """
    setting = _one_setting(pipe, source, steps)
    with applied_accelerators(pipe, setting.accelerators, seed=seed) as generate:
        yield generate


def apply(pipe: Any, source: Source, *, seed: int = 42) -> Callable[[], None]:
    """Accelerate a pipeline for good: from now on ``pipe(...)`` uses the setting.

    With a `search_params.json`, each call uses the study of its own number of steps. Gives back a
    function that undoes it. Arguments and errors are those of `applied`.
    """
    plain = type(pipe)
    if hasattr(plain, "_tuner_plain"):
        raise UsageError("this pipeline is accelerated already; call its undo first")
    choices = _choices(pipe, source)

    @wraps(plain.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        setting = _choose(choices, _steps_of(plain, self, args, kwargs), self)
        self.__class__ = plain
        try:
            with applied_accelerators(self, setting.accelerators, seed=seed) as generate:
                return generate(*args, **kwargs)
        finally:
            self.__class__ = accelerated

    accelerated = type(plain.__name__, (plain,), {"__call__": call, "_tuner_plain": plain})
    pipe.__class__ = accelerated

    def undo() -> None:
        pipe.__class__ = plain

    return undo


def _one_setting(pipe: Any, source: Source, steps: int | None) -> Setting:
    choices = _choices(pipe, source)
    if steps is None and len(choices) > 1:
        raise UsageError(
            f"the file has this pipeline with {_listed(choices)} steps; say which: steps=…"
        )
    return _choose(choices, steps, pipe)


def _choices(pipe: Any, source: Source) -> dict[int | None, Setting]:
    """Settings by number of steps; under None one that is for any number."""
    if isinstance(source, Setting):
        return {None: source}
    if isinstance(source, str | Path):
        source = read(Path(source))
    if "studies" not in source:
        return {None: Setting.of(source)}
    scheduler = type(pipe.scheduler).__name__
    found: dict[int | None, Setting] = {}
    for name, study in source["studies"].items():
        fits = study["pipeline"] == type(pipe).__name__
        if fits and SCHEDULERS[name_of(study["sched"])] == scheduler and study["best"]:
            if study["steps"] in found:
                raise UsageError(
                    f"the file has several studies for this pipeline at {study['steps']} steps "
                    f"({name} is one): export a single one with --study"
                )
            found[study["steps"]] = Setting.of(study["best"]["params"])
    if not found:
        has = ", ".join(source["studies"]) or "none"
        raise UsageError(
            f"no feasible study for {type(pipe).__name__} with {scheduler}; the file has: {has}"
        )
    return found


def _choose(choices: dict[int | None, Setting], steps: int | None, pipe: Any) -> Setting:
    if None in choices:
        return choices[None]
    if steps is None:
        (only,) = choices.values()
        return only
    if steps not in choices:
        raise UsageError(f"no study with {steps} steps; the file has {_listed(choices)}")
    return choices[steps]


def _steps_of(plain: type, pipe: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    arguments = inspect.signature(plain.__call__).bind(pipe, *args, **kwargs)
    arguments.apply_defaults()
    return int(arguments.arguments["num_inference_steps"])


def _listed(choices: dict[int | None, Setting]) -> str:
    return ", ".join(str(steps) for steps in choices)


def read(path: Path) -> dict[str, Any]:
    """What a `search_params.json` holds; a `UsageError` where it is none."""
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from error
    if not isinstance(contents, dict) or contents.get("schema") != 1:
        raise UsageError(f"{path} is no search_params.json of schema 1; `tuner export` writes one")
    return contents
