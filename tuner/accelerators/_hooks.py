"""The hooks of diffusers, for the length of a ``with`` block."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tuner.accelerators import Generation


@contextmanager
def hooked(denoiser: Any, generation: Generation, *names: str) -> Iterator[Callable[[], None]]:
    """Take off on exit what a diffusers ``apply_…`` hung on a denoiser's modules.

    Gives back a function that forgets all that the hooks keep; at `generation.full_steps` they
    forget by themselves. `names` are those under which diffusers registers the hooks.
    """
    from diffusers.hooks import HookRegistry

    registry = HookRegistry.check_if_exists_or_initialize(denoiser)

    def begin(module: Any, args: Any) -> None:
        if generation.step in generation.full_steps:
            registry.reset_stateful_hooks()

    handle = denoiser.register_forward_pre_hook(begin)
    try:
        yield registry.reset_stateful_hooks
    finally:
        handle.remove()
        for name in names:
            registry.remove_hook(name, recurse=True)
        for module in denoiser.modules():
            module.__dict__.pop("forward", None)
            module.__dict__.pop("_diffusers_hook", None)
