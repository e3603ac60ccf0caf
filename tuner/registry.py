"""Finds components by their files: one file is one component.

The file (or sub-package) of a component is in ``tuner/<kind>/`` and assigns the component to the
name ``component``. The component's attribute ``name`` is what people see and type. Files that
begin with an underscore are helpers.
"""

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any, Literal

from tuner.errors import UsageError

Kind = Literal["models", "accelerators", "metrics", "prompts"]


@cache
def components(kind: Kind) -> dict[str, Any]:
    """All components of a kind by name, sorted by their `order`, if any, and then by file name."""
    folder = import_module(f"tuner.{kind}")
    all_components = [
        import_module(f"{folder.__name__}.{module.name}").component
        for module in pkgutil.iter_modules(folder.__path__)
        if not module.name.startswith("_")
    ]
    all_components.sort(key=lambda component: getattr(component, "order", 0))
    return {component.name: component for component in all_components}


def get(kind: Kind, name: str) -> Any:
    """The component of this name; see `pick`."""
    return pick(kind.removesuffix("s"), name, components(kind))


def pick(what: str, name: str, known: dict[str, Any]) -> Any:
    """The value under `name`, whose case and punctuation do not matter.

    Args:
        what: what is picked, in the singular, for the message: 'scheduler'.
        name: the name that the user gave.
        known: the values by their names.

    Raises:
        UsageError: the name is unknown; the message lists the known ones.
    """
    for key, value in known.items():
        if plain(key) == plain(name):
            return value
    raise UsageError(f"unknown {what} {name!r}; known: {', '.join(known)}")


def plain(name: str) -> str:
    """A name in lower case, without punctuation: 'DPM-Solver++' becomes 'dpmsolverpp'."""
    return "".join(letter for letter in name.lower().replace("+", "p") if letter.isalnum())
