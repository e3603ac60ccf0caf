"""Names and components from a folder: one file is one component.

A component's file (or sub-package) stands in ``tuner/<kind>/`` and binds the component to the
name ``component``; its own ``name`` is what people see and type. Files that begin with an
underscore are machinery.
"""

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any, Literal

from tuner.errors import UsageError

Kind = Literal["models", "accelerators", "metrics", "prompts"]


@cache
def components(kind: Kind) -> dict[str, Any]:
    """Every component of a kind by its name: in the components' own order, or the files'."""
    folder = import_module(f"tuner.{kind}")
    found = [
        import_module(f"{folder.__name__}.{module.name}").component
        for module in pkgutil.iter_modules(folder.__path__)
        if not module.name.startswith("_")
    ]
    found.sort(key=lambda component: getattr(component, "order", 0))
    return {component.name: component for component in found}


def get(kind: Kind, name: str) -> Any:
    """The component of this name; case and punctuation do not matter."""
    return pick(kind.removesuffix("s"), name, components(kind))


def pick(what: str, name: str, known: dict[str, Any]) -> Any:
    """The value whose key reads like `name`; a `UsageError` lists what is known."""
    for key, value in known.items():
        if plain(key) == plain(name):
            return value
    raise UsageError(f"unknown {what} {name!r}; known: {', '.join(known)}")


def plain(name: str) -> str:
    """A name without case and punctuation: 'DPM-Solver++' becomes 'dpmsolverpp'."""
    return "".join(letter for letter in name.lower().replace("+", "p") if letter.isalnum())
