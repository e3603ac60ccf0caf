"""Changes by other code to a denoiser that accelerators cannot work with."""

from functools import partial
from types import MethodType
from typing import Any

from tuner.errors import UsageError
from tuner.pipelines.gate import Gate
from tuner.pipelines.hooks import can_carry_over

PACKAGES = ("DeepCache", "tgate", "tomesd")
# diffusers gives the device a number, and moving a parameter to "cpu:0" makes it a plain tensor.
_NUMBERED_CPU = (
    "{where} was offloaded by enable_sequential_cpu_offload(device='cpu'), with which accelerate "
    "fails, with or without the tuner; offload from a GPU, or use enable_model_cpu_offload()"
)


def check_untouched(denoiser: Any) -> None:
    """Check that no other code changes what the denoiser computes.

    Hooks that only move or cast weights are accepted: those of the package accelerate, and those of
    diffusers for which `can_carry_over` is true.

    Raises:
        UsageError: other code changes it; the message is one line.
    """
    kind = type(denoiser).__name__
    for module in denoiser.modules():
        why = _objection(module)
        if why is not None:
            name = next(name for name, other in denoiser.named_modules() if other is module)
            raise UsageError(why.format(where=name or f"the {kind}"))


def _objection(module: Any) -> str | None:
    """A message on what other code changed, with {where} for the module; None if nothing."""
    state = vars(module)
    registry = state.get("_diffusers_hook")
    hooks = {} if registry is None else registry.hooks
    for name, hook in hooks.items():
        if not can_carry_over(name, hook):
            return _hook_message(name)
    if _offloads_to_numbered_cpu(state.get("_hf_hook")):
        return _NUMBERED_CPU
    if type(module).__name__ == "ToMeBlock":
        return _package_message("tomesd")
    forward = _below_gates(state.get("forward"))
    if hooks:
        if not _is_hook_of(forward, "diffusers"):
            return _hook_message(next(iter(hooks)))
        forward = _below_gates(registry._fn_refs[0].forward)
    if _is_hook_of(forward, "accelerate"):
        forward = _below_gates(state["_old_forward"])
    if forward is None or _is_own(module, forward):
        return None
    home = str(getattr(forward, "__module__", None) or type(forward).__module__)
    package = home.split(".")[0]
    if package in PACKAGES:
        return _package_message(package)
    return f"the forward of {{where}} was replaced by an unknown one from {home}; remove that first"


def _below_gates(forward: Any) -> Any:
    """A forward without our own gates: a hook that came during a call has kept one below itself."""
    while isinstance(forward, Gate):
        forward = forward.below
    return forward


def _offloads_to_numbered_cpu(hook: Any) -> bool:
    """Whether a hook of accelerate offloads weights, and brings them back to a CPU by number."""
    return any(
        getattr(part, "offload", False)
        and str(getattr(part, "execution_device", None)).startswith("cpu:")
        for part in getattr(hook, "hooks", (hook,))
    )


def _package_message(package: str) -> str:
    return (
        f"this pipeline is accelerated already, by the package {package} on {{where}}; load the "
        f"pipeline again, or undo this with {package}"
    )


def _hook_message(name: str) -> str:
    if "group_offloading" in name or name == "layer_execution_tracker":
        return (
            "{where} is offloaded in groups, with use_stream or below another hook, which loads "
            "layers in advance that accelerators skip; leave use_stream out, or use "
            "enable_model_cpu_offload()"
        )
    if name == "layerwise_casting":
        return (
            "{where} has layerwise casting below another hook; load the pipeline again and call "
            "enable_layerwise_casting() last"
        )
    return (
        f"this pipeline is accelerated already, by diffusers' hook {name!r} on {{where}}; call "
        "disable_cache() first"
    )


def _is_own(module: Any, forward: Any) -> bool:
    """Whether it is the class's method: packages restore it as an attribute of the module."""
    return isinstance(forward, MethodType) and forward.__func__ is type(module).forward


def _is_hook_of(forward: Any, package: str) -> bool:
    """Whether it is the forward of a hook of this package, a `partial` function of the module."""
    home = getattr(getattr(forward, "func", None), "__module__", "")
    return isinstance(forward, partial) and home.split(".")[0] == package
