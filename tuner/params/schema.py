"""The JSON Schema of `search_params.json`."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

VERSION = 1  # of the file format, under the key "schema"
PATH = Path(__file__).with_name("search_params.schema.json")

# Keys that files of the first versions lack; such files are still read.
ADDED_LATER = {"fidelity", "limits", "certainty", "memory_gib", "host_memory_gib"}
# Keys without which a setting cannot be applied.
NEEDED_TO_APPLY = {"schema", "studies", "pipeline", "sched", "steps", "best", "params", "point"}


def load() -> dict[str, Any]:
    """The schema as the export follows it: every key is required that is always written."""
    schema: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return schema


@cache
def baseline_figures() -> frozenset[str]:
    """The keys of a baseline in the file."""
    study = load()["$defs"]["study"]["properties"]
    return frozenset(study["baseline"]["properties"])


@cache
def validator(*, complete: bool) -> "Draft202012Validator":
    """A validator that requires fewer keys than the schema.

    Args:
        complete: True for a file, which may lack the keys that were added later; False for
            contents that a program put together, which need only what applying them takes.
    """
    from jsonschema import Draft202012Validator  # slow to import, and not needed for writing

    schema = load()
    for node in _objects(schema):
        required = node.get("required")
        if isinstance(required, list):
            node["required"] = [
                key
                for key in required
                if key in NEEDED_TO_APPLY or (complete and key not in ADDED_LATER)
            ]
    return Draft202012Validator(schema)


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON document, the document itself included."""
    if isinstance(node, dict):
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from _objects(child)
