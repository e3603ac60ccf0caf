"""Functions in a user's Python file, which return a pipeline or the arguments of its call."""

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from tuner.errors import TunerError, UsageError, in_words


def pipeline_of(source: Any) -> Any:
    """A pipeline: the object itself, or what a function of a file returns.

    Args:
        source: a diffusers pipeline, or 'FILE.py:FUNCTION'.

    Raises:
        UsageError: the file or function is missing, fails, or returns no pipeline.
    """
    from diffusers import DiffusionPipeline

    pipeline = returned(source, "pipeline") if isinstance(source, str) else source
    if not isinstance(pipeline, DiffusionPipeline):
        what = f"{source} returned" if isinstance(source, str) else "pipeline is"
        raise UsageError(
            f"{what} {_described(pipeline)}; a study needs a pipeline of diffusers",
            key=("pipeline",),
        )
    return pipeline


def arguments_of(source: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """The arguments of a call: as they are, or what a function of a file returns.

    Args:
        source: arguments by name, 'FILE.py:FUNCTION', or None for no argument.

    Raises:
        UsageError: the file or function is missing, fails, or returns no dict.
    """
    arguments = returned(source, "call") if isinstance(source, str) else source or {}
    if not isinstance(arguments, Mapping) or not all(isinstance(name, str) for name in arguments):
        raise UsageError(
            f"{source} returned {_described(arguments)}; it must return a dict of the call's "
            "arguments",
            key=("call",),
        )
    return dict(arguments)


def returned(code: str, key: str) -> Any:
    """What a function of a file returns when it is called without arguments.

    Args:
        code: 'FILE.py:FUNCTION'.
        key: of the study that names the function.

    Raises:
        UsageError: the file or function is missing or fails; the message has the error.
    """
    file, _, name = code.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"{key}: there is no file {file}", key=(key,))
    with _neighbours_importable(path):
        module = _attempted(lambda: _module(path), f"{key}: {file} cannot be imported", key)
        function = getattr(module, name, None)
        if not callable(function):
            functions = [n for n, value in vars(module).items() if isinstance(value, FunctionType)]
            near = get_close_matches(name, functions, 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {_listed(functions)}"
            raise UsageError(f"{key}: {file} has no function {name!r}; {hint}", key=(key,))
        return _attempted(function, f"{key}: {file}: {name}() failed", key)


def _attempted(action: Callable[[], Any], what: str, key: str) -> Any:
    """What an action returns; whatever it raises becomes a `UsageError` of one line."""
    try:
        return action()
    except TunerError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{what}: {type(error).__name__}: {in_words(Exception(error))}", key=(key,)
        ) from error


@contextmanager
def _neighbours_importable(path: Path) -> Iterator[None]:
    """Let a file import those in its folder, as a script does."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_tuner_user_{path.stem}", path.resolve())
    assert spec is not None and spec.loader is not None  # of any file that ends with .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look their module up
    spec.loader.exec_module(module)
    return module


def _described(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
