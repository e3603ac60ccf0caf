"""How a denoiser is compiled: as a whole by `torch.compile` or `compile()`, or block by block."""

from collections.abc import Callable
from typing import Any

from tuner.errors import UsageError

MODES = ("default", "reduce-overhead", "max-autotune")  # of torch.compile

BY_BLOCKS = " by blocks"  # in the databases and files of all versions

Compiler = Callable[[Any], Any]  # compiles a function with the user's backend, mode and options


def mode_named(text: str | None) -> str | None:
    """The mode of torch.compile of this name; None if nothing is to be compiled.

    Raises:
        UsageError: there is no such mode.
    """
    if text is not None and text not in MODES:
        known = ", ".join(MODES)
        raise UsageError(
            f"unknown mode of torch.compile {text!r}; known: {known}", key=("compile",)
        )
    return text


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


def compile_denoiser(pipeline: Any, name: str, mode: str) -> None:
    """Compile a pipeline's denoiser as a whole, as ``torch.compile(pipe.unet)`` does.

    Args:
        pipeline: a diffusers pipeline.
        name: of the attribute that is the denoiser.
        mode: one of `MODES`.
    """
    import torch

    setattr(pipeline, name, torch.compile(getattr(pipeline, name), mode=mode))


def compiled_as(denoiser: Any) -> str | None:
    """How it is compiled, as studies store it; None if it is not.

    The mode or, if that is not known, the backend: 'default', 'max-autotune', 'cudagraphs'; and
    'default by blocks' if its blocks are. `compiled_text` writes it for people.
    """
    compiler = compiler_of(denoiser)
    if compiler is not None:
        return _mode(compiler)
    by_block = compilers_of_blocks(denoiser)
    modes = sorted({_mode(compiler) for compiler in by_block.values()})
    return f"{' and '.join(modes)}{BY_BLOCKS}" if modes else None


def compiled_text(stored: str) -> str:
    """How people read what `compiled_as` returns: 'default', 'default, block by block'."""
    return stored.replace(BY_BLOCKS, ", block by block")


def _mode(compiler: Any) -> str:
    from torch._dynamo.eval_frame import innermost_backend

    backend: Any = innermost_backend(getattr(compiler, "callback", compiler))
    config = getattr(backend, "config", None)
    if config is None:
        name = getattr(backend, "compiler_name", getattr(backend, "__name__", "other"))
        return str(name)
    if not config:
        return MODES[0]
    from torch._inductor import list_mode_options

    known = (mode for mode in MODES[1:] if list_mode_options(mode, backend.dynamic) == config)
    return next(known, "own options")


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
