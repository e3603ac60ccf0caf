"""Applying what a study found: for a ``with`` block, or for good."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tuner.accelerators import Accelerator
from tuner.applying.applied import Choose, Generate, started
from tuner.errors import UsageError
from tuner.params.choice import Choices
from tuner.params.read import check_contents, read
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
            its contents). Of a file the studies of this pipeline class and of these weights count,
            and each call uses the one of its scheduler, number of steps, resolution and guidance.
            Of another resolution or guidance the nearest is used, with a warning.
        steps: use the study of this number of steps, however many a call takes.
        seed: fixes what an accelerator draws at random; the studies' default.

    Yields:
        `generate`, which takes the pipeline's own arguments; so does the pipeline itself meanwhile.

    Raises:
        UsageError: nothing in the file fits, or an accelerator does not fit the pipeline.
    """
    choose, first = _chosen(pipe, source, steps)
    generate, undo = started(pipe, choose, first, seed=seed)
    try:
        yield generate
    finally:
        undo()


def apply(pipe: Any, source: Source, *, seed: int = 42) -> Callable[[], None]:
    """Accelerate a pipeline for good: from now on ``pipe(...)`` uses the setting.

    Gives back a function that undoes it. Arguments and errors are those of `applied`.
    """
    choose, first = _chosen(pipe, source, None)
    return started(pipe, choose, first, seed=seed)[1]


def _chosen(
    pipe: Any, source: Source, steps: int | None
) -> tuple[Choose, Iterable[Sequence[Accelerator]]]:
    """What chooses at each call, and what it may choose now."""
    if isinstance(source, str | Path):
        source = read(Path(source))
    elif isinstance(source, Mapping) and ("studies" in source or "schema" in source):
        check_contents(source)
    elif not isinstance(source, Setting):
        source = _setting(source)
    if isinstance(source, Setting):
        accelerators = source.accelerators
        return lambda *_: accelerators, [accelerators]
    choices = Choices(contents=source, steps=steps)
    return choices, [one.setting.accelerators for one in choices.now(pipe)]


def _setting(source: Any) -> Setting:
    if not isinstance(source, Mapping) or not all(isinstance(v, Mapping) for v in source.values()):
        raise UsageError(
            f"{source!r} is no setting; one is accelerator → knob → value, such as "
            "{'deepcache': {'cache_interval': 3, 'cache_branch_id': 0}}"
        )
    return Setting.of(source)
