"""The hooks of diffusers, for the length of a ``with`` block."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tuner.accelerators import Generation


@contextmanager
def hooked(
    denoiser: Any,
    generation: Generation,
    apply: Callable[[], None],
    *names: str,
    by_row: bool = False,
) -> Iterator[Callable[[], None]]:
    """Run a denoiser with what a diffusers ``apply_…`` hangs on it; taken off on exit.

    Gives back a function that forgets all that the hooks keep; at `generation.full_steps` they
    forget by themselves. They are told a cache context, which only some pipelines do.

    Args:
        denoiser: the hooks are on it and on its modules.
        generation: tells the step.
        apply: hangs the hooks on.
        names: those under which diffusers registers the hooks.
        by_row: run the batch row by row, each with a memory of its own, for hooks that decide for
            a whole batch: a picture would depend on those that it is drawn with.
    """
    from diffusers.hooks import HookRegistry
    from diffusers.models import CacheMixin

    # Flux's pipeline leaves an empty registry behind, which remembers that there were no others.
    before = [module for module in denoiser.modules() if "_diffusers_hook" in vars(module)]
    apply()
    registry = HookRegistry.check_if_exists_or_initialize(denoiser)
    registry.invalidate_child_registries_cache()
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
            if module not in before:
                module.__dict__.pop("_diffusers_hook", None)
        registry.invalidate_child_registries_cache()


def _row_by_row(
    denoiser: Any, plain: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any]:
    import torch
    from diffusers.models import CacheMixin

    count = len(args[0] if args else kwargs["hidden_states"])
    rows = []
    for index in range(count):
        only = _Only(index, count)
        with CacheMixin.cache_context(denoiser, f"row {index}"):
            found = plain(*(only(one) for one in args), **only(kwargs))
        rows.append(found[0])
    return (torch.cat(rows),)


class _Only:
    """Takes one row of whatever has as many rows as the batch."""

    def __init__(self, index: int, rows: int) -> None:
        self.index, self.rows = index, rows

    def __call__(self, value: Any) -> Any:
        import torch

        if isinstance(value, dict):
            # Flux's places of tokens are the same for all pictures.
            return {k: one if k.endswith("_ids") else self(one) for k, one in value.items()}
        if isinstance(value, torch.Tensor) and value.dim() and len(value) == self.rows:
            return value[self.index : self.index + 1]
        return value
