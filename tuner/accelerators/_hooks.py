"""The hooks of diffusers, for the length of a ``with`` block."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tuner.accelerators import Generation


@contextmanager
def hooked(
    denoiser: Any, generation: Generation, *names: str, by_row: bool = False
) -> Iterator[Callable[[], None]]:
    """Run a denoiser with what a diffusers ``apply_…`` hung on it; taken off on exit.

    Gives back a function that forgets all that the hooks keep; at `generation.full_steps` they
    forget by themselves. They are told a cache context, which only some pipelines do.

    Args:
        denoiser: the hooks are on it and on its modules.
        generation: tells the step.
        names: those under which diffusers registers the hooks.
        by_row: run the batch row by row, each with a memory of its own, for hooks that decide for
            a whole batch: a picture would depend on those that it is drawn with.
    """
    from diffusers.hooks import HookRegistry
    from diffusers.models import CacheMixin

    registry = HookRegistry.check_if_exists_or_initialize(denoiser)
    plain = denoiser.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        if generation.step in generation.full_steps:
            registry.reset_stateful_hooks()
        if by_row:
            return _row_by_row(denoiser, plain, args, kwargs)
        with CacheMixin.cache_context(denoiser, "batch"):
            return plain(*args, **kwargs)

    denoiser.forward = forward
    try:
        yield registry.reset_stateful_hooks
    finally:
        for name in names:
            registry.remove_hook(name, recurse=True)
        for module in denoiser.modules():
            module.__dict__.pop("forward", None)
            module.__dict__.pop("_diffusers_hook", None)


def _row_by_row(
    denoiser: Any, plain: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any]:
    import torch
    from diffusers.models import CacheMixin

    rows = []
    for index in range(len(args[0])):
        only = _Only(index, len(args[0]))
        with CacheMixin.cache_context(denoiser, f"row {index}"):
            found = plain(*(only(one) for one in args), **{k: only(v) for k, v in kwargs.items()})
        rows.append(found[0])
    return (torch.cat(rows),)


class _Only:
    """Takes one row of whatever has as many rows as the batch."""

    def __init__(self, index: int, rows: int) -> None:
        self.index, self.rows = index, rows

    def __call__(self, value: Any) -> Any:
        import torch

        if isinstance(value, dict):
            return {key: self(one) for key, one in value.items()}
        if isinstance(value, torch.Tensor) and value.dim() and len(value) == self.rows:
            return value[self.index : self.index + 1]
        return value
