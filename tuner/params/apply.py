"""Applying a setting or a `search_params.json` to a pipeline: in a ``with`` block, or for good."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tuner.accelerators import Accelerator
from tuner.applying.applied import Choose, Generate, started
from tuner.errors import UsageError
from tuner.params.choices import Choices
from tuner.params.read import check_contents, read
from tuner.setting import Setting

Source = Setting | Mapping[str, Any] | str | Path


@contextmanager
def applied(
    pipe: Any,
    source: Source,
    *,
    steps: int | None = None,
    pick: str | None = None,
    seed: int = 42,
) -> Iterator[Generate]:
    """Accelerate a pipeline inside a ``with`` block.

    The trials of a search use the same code. After the block the pipeline computes bit for bit
    what it computed before.

    Args:
        pipe: a diffusers pipeline.
        source: a setting, as accelerator → knob → value; or a `search_params.json`, as its path or
            its contents. Only the file's studies of the pipeline's class and weights are
            considered, and each call uses the study that has its scheduler, number of steps,
            image size and guidance. If no study has the call's size or guidance, the nearest
            study is used, with a warning.
        steps: use the study with this number of steps, whatever number a call runs.
        pick: which setting of a file's study is used: 'fastest', 'knee', a bound such as
            'loss<=0.5%', 'speedup>=2' or 'lpips<=0.1', or 'trial 7' for that of one trial. Without
            it, the setting that was picked when the file was written or, where none was, the best
            one. A picked setting that was never verified gives a warning.
        seed: random seed of the accelerators; the default is the default seed of a study.

    Yields:
        `generate`, which takes the pipeline's own arguments. Inside the block, calling the
        pipeline itself does the same.

    Raises:
        UsageError: no study of the file fits, `pick` picks nothing, or an accelerator does not fit
            the pipeline.
    """
    choose, first = _chosen(pipe, source, steps, pick)
    generate, undo = started(pipe, choose, first, seed=seed)
    try:
        yield generate
    finally:
        undo()


def apply(
    pipe: Any, source: Source, *, pick: str | None = None, seed: int = 42
) -> Callable[[], None]:
    """Accelerate a pipeline for good: from now on ``pipe(...)`` uses the setting.

    The arguments and the errors are those of `applied`.

    Returns:
        A function that removes the accelerators from the pipeline.
    """
    choose, first = _chosen(pipe, source, None, pick)
    return started(pipe, choose, first, seed=seed)[1]


def _chosen(
    pipe: Any, source: Source, steps: int | None, pick: str | None
) -> tuple[Choose, Iterable[Sequence[Accelerator]]]:
    """A function that chooses the accelerators of a call, and those that it can choose now."""
    if isinstance(source, str | Path):
        source = read(Path(source))
    elif isinstance(source, Mapping) and ("studies" in source or "schema" in source):
        check_contents(source, complete=pick is not None)
    elif not isinstance(source, Setting):
        source = _setting(source)
    if isinstance(source, Setting):
        if pick is not None:
            raise UsageError(
                f"pick = {pick!r} chooses a setting of a file, but this is a setting; leave out "
                "pick"
            )
        accelerators = source.accelerators
        return lambda *_: accelerators, [accelerators]
    choices = Choices(contents=source, steps=steps, pick=pick)
    return choices, [choice.setting.accelerators for choice in choices.available(pipe)]


def _setting(source: Any) -> Setting:
    if not isinstance(source, Mapping) or not all(isinstance(v, Mapping) for v in source.values()):
        raise UsageError(
            f"{source!r} is not a setting; write accelerator → knob → value, such as "
            "{'deepcache': {'cache_interval': 3, 'cache_branch_id': 0}}"
        )
    return Setting.of(source)
