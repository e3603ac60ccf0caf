"""Hooks of diffusers on a denoiser's double."""

import copy
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from tuner.pipelines.controlnets import Controls, Rows
from tuner.pipelines.generation import Generation


def hooked(
    denoiser: Any,
    generation: Generation,
    apply: Callable[[], None],
    *,
    by_row: bool = False,
    skips_blocks: str | None = None,
    begin: Callable[[], None] = lambda: None,
) -> Callable[[], None]:
    """Attach caching hooks of diffusers to a denoiser's double.

    The hooks are given the cache context that they need, which only some pipelines set. Their
    caches are emptied at steps at which nothing may be reused (`generation.afresh`).

    Args:
        denoiser: the double.
        generation: the state of the call.
        apply: attaches the hooks, by one of diffusers' ``apply_…`` functions.
        by_row: compute each row of a batch separately, with a cache of its own. For hooks that make
            one decision for a batch, so that a picture does not depend on the others.
        skips_blocks: the name of the hook on the first block that decides whether the others run;
            see `Controls`.
        begin: called at the first step, and at each step at which the caches are emptied.

    Returns:
        A function that empties the hooks' caches.
    """
    from diffusers.hooks import HookRegistry
    from diffusers.models import CacheMixin

    apply()
    registry = HookRegistry.check_if_exists_or_initialize(denoiser)
    run = denoiser.forward
    if skips_blocks is not None:
        run = _with_controls(denoiser, skips_blocks)

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
    reset: Callable[[], None] = registry.reset_stateful_hooks
    return reset


def _with_controls(denoiser: Any, skips_blocks: str) -> Callable[..., Any]:
    """The denoiser's forward, with a ControlNet's residuals that respect skipped blocks."""
    plain = denoiser.forward
    controls = Controls(denoiser, partial(_skips, denoiser, skips_blocks))

    def forward(*args: Any, **kwargs: Any) -> Any:
        return plain(*args, **controls.wrapped(kwargs))

    return forward


def can_carry_over(name: str, hook: Any) -> bool:
    """Whether `carry_over` can attach this hook of diffusers to a double."""
    if name == "group_offloading":
        return hook.group.stream is None and hook.next_group is None
    return name == "layerwise_casting"


def carry_over(module: Any, double: Any, forward: Callable[..., Any]) -> None:
    """Run the hooks of a module around the forward of its double.

    The hooks move and cast the weights of the module, which the double shares. They are called with
    the module, because their state is bound to it.

    Args:
        module: a module with hooks of diffusers.
        double: its double.
        forward: the forward of the double without the hooks.
    """
    registry = vars(module)["_diffusers_hook"]
    for reference in registry._fn_refs:
        forward = _with_hook(reference, module, forward)
    double.forward = forward
    # The double needs a registry too: diffusers' `ModelMixin.dtype` looks in it for the hook of
    # layerwise casting, which knows the dtype to compute in.
    registry_of_double = copy.copy(registry)
    vars(registry_of_double).update(
        _module_ref=double,
        hooks=dict(registry.hooks),
        _hook_order=list(registry._hook_order),
        _fn_refs=list(registry._fn_refs),
        _child_registries_cache=None,
    )
    double._diffusers_hook = registry_of_double


def _with_hook(reference: Any, module: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def hooked(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = reference.pre_forward(module, *args, **kwargs)
        return reference.post_forward(module, forward(*args, **kwargs))

    return hooked


def _skips(denoiser: Any, name: str) -> bool:
    """Whether the first block's hook has decided that the other blocks do not run in this pass."""
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
        row_of = Rows(slice(index, index + 1), count)
        with CacheMixin.cache_context(denoiser, f"row {index}"):
            output = plain(*(row_of(value) for value in args), **row_of(kwargs))
        rows.append(output[0])
    return (torch.cat(rows),)
