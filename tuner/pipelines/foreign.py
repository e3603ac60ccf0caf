"""What others did to a denoiser that an accelerator cannot work with, in words."""

from functools import partial
from types import MethodType
from typing import Any

from tuner.errors import UnfitError, UsageError
from tuner.pipelines.gate import Gate
from tuner.pipelines.hooks import is_carried

PACKAGES = ("DeepCache", "tgate", "tomesd")


def check_untouched(denoiser: Any) -> None:
    """Raise `UsageError`, in one line, where somebody else changes what the denoiser computes.

    Hooks that only move or cast weights are no hindrance: those of accelerate, and those of
    diffusers that `is_carried` names.
    """
    kind = type(denoiser).__name__
    if hasattr(denoiser, "_orig_mod"):
        raise UnfitError(
            f"this {kind} is what torch.compile gave, and compiled code does not see what "
            "accelerators change; put the module itself (its _orig_mod) back into the pipeline"
        )
    if denoiser._compiled_call_impl is not None:
        raise UnfitError(
            f"this {kind} is compiled, and compiled code does not see what accelerators change; "
            "load the pipeline anew and leave its compile() out"
        )
    for module in denoiser.modules():
        why = _why_not(module)
        if why is not None:
            name = next(name for name, one in denoiser.named_modules() if one is module)
            raise UsageError(why.format(where=name or f"the {kind}"))


def has_compiled_blocks(denoiser: Any) -> bool:
    """Whether something inside is compiled, as `compile_repeated_blocks` does."""
    return any(module._compiled_call_impl is not None for module in denoiser.modules())


def _why_not(module: Any) -> str | None:
    """A line that says at {where} what somebody else did; None where nobody did."""
    state = vars(module)
    registry = state.get("_diffusers_hook")
    hooks = {} if registry is None else registry.hooks
    for name, hook in hooks.items():
        if not is_carried(name, hook):
            return _of_hook(name)
    if type(module).__name__ == "ToMeBlock":
        return _of_package("tomesd")
    forward = state.get("forward")
    while isinstance(forward, Gate):
        forward = forward.below
    if hooks:
        if not _is_of(forward, "diffusers"):
            return _of_hook(next(iter(hooks)))
        forward = registry._fn_refs[0].forward
    if _is_of(forward, "accelerate"):
        forward = state["_old_forward"]
    if forward is None or _is_own(module, forward):
        return None
    home = str(getattr(forward, "__module__", None) or type(forward).__module__)
    package = home.split(".")[0]
    if package in PACKAGES:
        return _of_package(package)
    return (
        f"a forward from {home} stands on {{where}}, and accelerators cannot tell what it "
        "computes; take it off first"
    )


def _of_package(package: str) -> str:
    return (
        f"this pipeline is accelerated already, by {package} itself on {{where}}; load it anew, or "
        f"undo that as {package} does"
    )


def _of_hook(name: str) -> str:
    if "group_offloading" in name or name == "layer_execution_tracker":
        return (
            "group offload with streams, or under another hook, is on {where}, and accelerators "
            "leave layers out that it fetches ahead; use it without use_stream, or "
            "enable_model_cpu_offload()"
        )
    if name == "layerwise_casting":
        return (
            "layerwise casting is on {where} under another hook; load the pipeline anew and call "
            "enable_layerwise_casting() last"
        )
    return (
        f"this pipeline is accelerated already, by diffusers' hook {name!r} on {{where}}; call "
        "disable_cache() first"
    )


def _is_own(module: Any, forward: Any) -> bool:
    """The class's method, which packages put back as an attribute when they are done."""
    return isinstance(forward, MethodType) and forward.__func__ is type(module).forward


def _is_of(forward: Any, package: str) -> bool:
    """Whether it is a hook's forward, which these packages make so that it takes the module."""
    home = getattr(getattr(forward, "func", None), "__module__", "")
    return isinstance(forward, partial) and home.split(".")[0] == package
