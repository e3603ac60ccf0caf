"""Checks events against the JSON Schema that the package has."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import tuner.cli
from tuner.params import schema

SCHEMA = Path(tuner.cli.__file__).with_name("events.schema.json")


@cache
def validator() -> Draft202012Validator:
    """The schema of an event; figures are those of search_params.json."""
    figures = Resource.from_contents(json.loads(schema.PATH.read_text(encoding="utf-8")))
    registry = Registry().with_resource("../params/search_params.schema.json", figures)
    loaded = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(loaded)
    return Draft202012Validator(loaded, registry=registry)


def events_of(text: str) -> list[dict[str, Any]]:
    """The events in the lines of a text, each of which is valid."""
    events = [json.loads(line) for line in text.splitlines()]
    for event in events:
        name = event.get("event")
        own = {"$ref": f"#/$defs/{name}"}
        assert name in validator().schema["$defs"], event
        validator().evolve(schema=validator().schema | {"oneOf": [own]}).validate(event)
    return events


def names(events: list[dict[str, Any]]) -> list[str]:
    """The kinds of the events, in their order."""
    return [event["event"] for event in events]
