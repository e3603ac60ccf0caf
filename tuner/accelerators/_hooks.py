"""The hooks of diffusers, for the length of a ``with`` block."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from tuner.accelerators import Generation
from tuner.accelerators._controls import Controls, Rows


@contextmanager
def hooked(
    denoiser: Any,
    generation: Generation,
    apply: Callable[[], None],
    *names: str,
    by_row: bool = False,
    skips_blocks: bool = False,
    begin: Callable[[], None] = lambda: None,
) -> Iterator[Callable[[], None]]:
    """Run a denoiser with what a diffusers ``apply_…`` hangs on it; taken off on exit.

    Gives back a function that forgets all that the hooks keep; where `generation.afresh` they
    forget by themselves. They are told a cache context, which only some pipelines do.

    Args:
        denoiser: the hooks are on it and on its modules.
        generation: tells the step.
        apply: hangs the hooks on.
        names: those under which diffusers registers the hooks.
        by_row: run the batch row by row, each with a memory of its own, for hooks that decide for
            a whole batch: a picture would depend on those that it is drawn with.
        skips_blocks: the hook of the first name is on the first block and decides whether the
            others run; see `Controls`.
        begin: called at the first step, and at each one at which the hooks forget.
    """
    from diffusers.hooks import HookRegistry
    from diffusers.models import CacheMixin

    # Flux's pipeline leaves an empty registry behind, which remembers that there were no others.
    before = [module for module in denoiser.modules() if "_diffusers_hook" in vars(module)]
    apply()
    registry = HookRegistry.check_if_exists_or_initialize(denoiser)
    registry.invalidate_child_registries_cache()
    plain = denoiser.forward
    controls = Controls(denoiser, partial(_skips, denoiser, names[0])) if skips_blocks else None

    def run(*args: Any, **kwargs: Any) -> Any:
        return plain(*args, **(kwargs if controls is None else controls.of(kwargs)))

    def forward(*args: Any, **kwargs: Any) -> Any:
        if generation.afresh:
            registry.reset_stateful_hooks()
        if generation.afresh or generation.step == 0:
            begin()
        if by_row:
            return _row_by_row(denoiser, run, args, kwargs)
        with CacheMixin.cache_context(denoiser, "batch"):
            return run(*args, **kwargs)

    denoiser.forward = forward
    try:
        yield registry.reset_stateful_hooks
    finally:
        if controls is not None:
            controls.remove()
        for name in names:
            registry.remove_hook(name, recurse=True)
        for module in denoiser.modules():
            module.__dict__.pop("forward", None)
            if module not in before:
                module.__dict__.pop("_diffusers_hook", None)
        registry.invalidate_child_registries_cache()


def _skips(denoiser: Any, name: str) -> bool:
    """Whether the first block's hook has decided in this pass that the others do not run."""
    hook = denoiser.transformer_blocks[0]._diffusers_hook.get_hook(name)
    return not hook.state_manager.get_state().should_compute


def _row_by_row(
    denoiser: Any, plain: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any]:
    import torch
    from diffusers.models import CacheMixin

    count = len(args[0] if args else kwargs["hidden_states"])
    rows = []
    for index in range(count):
        only = Rows(slice(index, index + 1), count)
        with CacheMixin.cache_context(denoiser, f"row {index}"):
            found = plain(*(only(one) for one in args), **only(kwargs))
        rows.append(found[0])
    return (torch.cat(rows),)
