"""The hooks of diffusers, on a denoiser's double."""

from collections.abc import Callable
from typing import Any

from tuner.accelerators import Generation


def hooked(
    denoiser: Any, generation: Generation, apply: Callable[[], None], *, by_row: bool = False
) -> Callable[[], None]:
    """Hang what a diffusers ``apply_…`` hangs on a denoiser's double.

    Gives back a function that forgets all that the hooks keep; at `generation.full_steps` they
    forget by themselves. They are told a cache context, which only some pipelines do.

    Args:
        denoiser: the hooks are on it and on its modules.
        generation: tells the step.
        apply: hangs the hooks on.
        by_row: run the batch row by row, each with a memory of its own, for hooks that decide for
            a whole batch: a picture would depend on those that it is drawn with.
    """
    from diffusers.hooks import HookRegistry
    from diffusers.models import CacheMixin

    apply()
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
    forget: Callable[[], None] = registry.reset_stateful_hooks
    return forget


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
