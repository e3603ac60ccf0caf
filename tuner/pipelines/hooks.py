"""The hooks of diffusers, on a denoiser's double."""

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
    """Hang what a diffusers ``apply_…`` hangs on a denoiser's double.

    Gives back a function that forgets all that the hooks keep; where `generation.afresh` they
    forget by themselves. They are told a cache context, which only some pipelines do.

    Args:
        denoiser: the hooks are on it and on its modules.
        generation: tells the step.
        apply: hangs the hooks on.
        by_row: run the batch row by row, each with a memory of its own, for hooks that decide for
            a whole batch: a picture would depend on those that it is drawn with.
        skips_blocks: the name of a hook on the first block that decides whether the others run;
            see `Controls`.
        begin: called at the first step, and at each one at which the hooks forget.
    """
    from diffusers.hooks import HookRegistry
    from diffusers.models import CacheMixin

    apply()
    registry = HookRegistry.check_if_exists_or_initialize(denoiser)
    plain = denoiser.forward
    controls = None
    if skips_blocks is not None:
        controls = Controls(denoiser, partial(_skips, denoiser, skips_blocks))

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
    forget: Callable[[], None] = registry.reset_stateful_hooks
    return forget


def is_carried(name: str, hook: Any) -> bool:
    """Whether it is a hook of diffusers' that `carry_over` can hang on a double."""
    if name == "group_offloading":
        return hook.group.stream is None and hook.next_group is None
    return name == "layerwise_casting"


def carry_over(module: Any, double: Any, forward: Callable[..., Any]) -> None:
    """Hang a module's hooks on its double; they go on moving and casting the module's weights.

    They are told the module, which they know, and not the double, whose weights are the same.
    `forward` is what the double computes without them.
    """
    registry = vars(module)["_diffusers_hook"]
    for reference in registry._fn_refs:
        forward = _between(reference, module, forward)
    double.forward = forward
    # The double needs a registry too: diffusers' `ModelMixin.dtype` looks in it for the hook of
    # layerwise casting, which knows the dtype to compute in.
    its_own = copy.copy(registry)
    vars(its_own).update(
        _module_ref=double,
        hooks=dict(registry.hooks),
        _hook_order=list(registry._hook_order),
        _fn_refs=list(registry._fn_refs),
        _child_registries_cache=None,
    )
    double._diffusers_hook = its_own


def _between(reference: Any, module: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def hooked(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = reference.pre_forward(module, *args, **kwargs)
        return reference.post_forward(module, forward(*args, **kwargs))

    return hooked


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
