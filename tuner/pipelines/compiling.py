"""How a denoiser is compiled: as a whole by `torch.compile` or `compile()`, or block by block."""

from collections.abc import Callable
from typing import Any

Compiler = Callable[[Any], Any]  # compiles a function with the user's backend, mode and options


def original(denoiser: Any) -> Any:
    """The module inside, if ``torch.compile(denoiser)`` made another one around it."""
    return vars(denoiser).get("_modules", {}).get("_orig_mod", denoiser)


def is_wrapped(denoiser: Any) -> bool:
    """Whether it is what ``torch.compile(denoiser)`` made: an `OptimizedModule`."""
    return original(denoiser) is not denoiser


def is_compiled(denoiser: Any) -> bool:
    """Whether its passes, or those of modules inside, run compiled code."""
    modules = original(denoiser).modules()
    return is_wrapped(denoiser) or any(module._compiled_call_impl is not None for module in modules)


def compiler_of(denoiser: Any) -> Compiler | None:
    """What compiles the denoiser as a whole; None if it is not compiled, or block by block."""
    if is_wrapped(denoiser):
        compiler: Compiler = denoiser.dynamo_ctx
        return compiler
    return _compiler(denoiser)


def compilers_of_blocks(denoiser: Any) -> dict[Any, Compiler]:
    """What compiles each of the modules inside that are compiled by themselves."""
    compilers = ((module, _compiler(module)) for module in denoiser.modules())
    return {module: compiler for module, compiler in compilers if compiler is not None}


def _compiler(module: Any) -> Compiler | None:
    """What `module.compile()` compiled it with: torch keeps it in the compiled function."""
    function = module._compiled_call_impl
    if function is None:
        return None
    import torch

    for cell in getattr(function, "__closure__", None) or ():
        # The class is not public, but what it does is: a decorator that compiles.
        if type(cell.cell_contents).__name__ == "OptimizeContext":
            compiler: Compiler = cell.cell_contents
            return compiler
    return torch.compile
