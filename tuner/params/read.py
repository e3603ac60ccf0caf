"""Reading a `search_params.json`, and saying in one line which part of it is wrong."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from textwrap import shorten
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from tuner.errors import UsageError
from tuner.params.write import SCHEMA
from tuner.schedulers import name_of

# The first files had none of these, and are read with what stands for nothing.
_LATER = {"fidelity", "limits", "certainty", "memory_gib", "host_memory_gib"}
# What applying needs of contents that somebody put together.
_NEEDED = {"schema", "studies", "pipeline", "sched", "steps", "best", "params"}


def read(path: Path) -> dict[str, Any]:
    """What a `search_params.json` holds; a `UsageError` where it is none or a part is wrong."""
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from error
    if not isinstance(contents, dict) or contents.get("schema") != 1:
        raise UsageError(f"{path} is no search_params.json of schema 1; `tuner export` writes one")
    _check(contents, str(path), whole=True)
    for study in contents["studies"].values():
        study["goal"].setdefault("limits", {})
        for point in (study["best"], *study["by_combination"].values(), *study["pareto"]):
            if point is not None:
                point.setdefault("fidelity", {})
    return contents


def check_contents(contents: Mapping[str, Any]) -> None:
    """Raise `UsageError` where contents lack what applying them needs, or a part is wrong."""
    _check(contents, "the contents of search_params.json", whole=False)


def _check(contents: Mapping[str, Any], where: str, *, whole: bool) -> None:
    wrong = best_match(_validator(whole).iter_errors(contents))
    if wrong is not None:
        # Of what may also be null, what it lacks as the other thing says more.
        inner = [one for one in wrong.context or () if one.validator_value != "null"]
        wrong = best_match(inner) or wrong
        part = " → ".join(str(one) for one in wrong.absolute_path) or "the top"
        raise UsageError(
            f"{where}: at {part}: {shorten(wrong.message, 160)}; `tuner export` writes it anew"
        )
    for name, study in contents["studies"].items():
        try:
            name_of(study["sched"])
        except UsageError as error:
            raise UsageError(f"{where}: at studies → {name} → sched: {error}") from None


@cache
def _validator(whole: bool) -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for node in _nodes(schema):
        if isinstance(node.get("required"), list):
            node["required"] = [
                name
                for name in node["required"]
                if name in _NEEDED or (whole and name not in _LATER)
            ]
    return Draft202012Validator(schema)


def _nodes(node: Any) -> list[dict[str, Any]]:
    """Every object of a JSON document."""
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    found = [one for part in inner for one in _nodes(part)]
    return [node, *found] if isinstance(node, dict) else found
