"""Makes the pages of the reference from the code, when mkdocs builds the site.

mkdocs calls `on_files` of this file, which mkdocs.yml names as a hook. The pages exist in the site
only, so they cannot become stale.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import tuner
from tuner.cli.arguments import argument_parser
from tuner.cli.study_schema import schema


def pages() -> dict[str, str]:
    """Path of a page in `docs/` -> its Markdown."""
    return {
        "reference/cli.md": "\n".join(_command_line(argument_parser())),
        "reference/study-file.md": "\n".join(_study_file(schema())),
        "reference/python.md": "\n".join(_python()),
    }


def _command_line(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield "# Command line\n"
    yield f"{parser.description}\n"
    yield "`tuner COMMAND --help` prints what this page says, for the version that is installed.\n"
    seen: set[tuple[str, ...]] = set()
    yield from _options(parser, seen)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield f"## tuner {name}\n"
                yield f"{_cell(command.description)}\n"
                yield from _options(command, seen)


def _options(parser: argparse.ArgumentParser, seen: set[tuple[str, ...]]) -> Iterator[str]:
    """A table for each group of options that has any and was not in `seen`, where it is added."""
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.dest != "help"]
        actions = [a for a in actions if not isinstance(a, argparse._SubParsersAction)]
        flags = tuple(flag for action in actions for flag in action.option_strings)
        if not actions or (len(flags) > 1 and flags in seen):
            continue
        seen.add(flags)
        yield f"| {group.title} | |"
        yield "|---|---|"
        for action in actions:
            yield f"| {_names(action)} | {_cell(action.help)} |"
        yield ""


def _names(action: argparse.Action) -> str:
    """The spellings of an option or the name of an argument, with its value."""
    names = [f"`{name}`" for name in action.option_strings] or [f"`{action.dest}`"]
    if action.option_strings and action.nargs != 0:
        value = action.metavar or action.dest.upper()
        names[-1] = names[-1].removesuffix("`") + f" {value}`"
    return ", ".join(names)


def _study_file(document: dict[str, Any]) -> Iterator[str]:
    yield "# Keys of study files\n"
    yield "`tuner init` writes a file with all of them; [Study files](../study-files.md) is about"
    yield "their use. The same values are flags of `tuner run`.\n"
    yield "| key | value | meaning |"
    yield "|---|---|---|"
    tables = []
    for key, value in document["properties"].items():
        yield f"| `{key}` | {_type(value)} | {_cell(value['description'])} |"
        if "properties" in value:
            tables.append((key, value["properties"]))
    for key, inner in tables:
        for name, value in inner.items():
            if "properties" not in value:
                continue
            yield f"\n## [{key}.{name}]\n"
            yield "| knob | value | meaning | tried by default |"
            yield "|---|---|---|---|"
            for knob, what in value["properties"].items():
                tried = json.dumps(what["default"])
                yield f"| `{knob}` | {_type(what)} | {_cell(what['description'])} | `{tried}` |"


def _type(value: dict[str, Any]) -> str:
    """The kind of value that a schema accepts, in words."""
    if "anyOf" in value:
        return f"{_type(value['anyOf'][0])}, or a list"
    if isinstance(value.get("type"), list):
        return f"{_type(value | {'type': value['type'][0]})}, or a list"
    if value.get("type") == "array":
        return f"list: {_type(value['items'])}"
    if "enum" in value:
        return " \\| ".join(f"`{name}`" for name in value["enum"])
    if value["type"] in ("integer", "number"):
        low = value.get("minimum", value.get("exclusiveMinimum"))
        high = value.get("maximum", value.get("exclusiveMaximum"))
        kind = "whole number" if value["type"] == "integer" else "number"
        if low is None:
            return kind
        if high is not None:
            return f"{kind}, {low} … {high}"
        return f"{kind}, {'above' if 'exclusiveMinimum' in value else 'at least'} {low}"
    return {"boolean": "`true` \\| `false`", "object": "table"}.get(value["type"], "text")


def _python() -> Iterator[str]:
    yield "# Python\n"
    yield "Everything that `import tuner` offers. All of it is typed, and nothing heavy is imported"
    yield "before it is used. The fields of `StudySpec` are the [keys of study"
    yield "files](study-file.md).\n"
    for name in sorted(tuner.__all__, key=_kind):
        yield f"::: tuner.{name}\n"


def _kind(name: str) -> int:
    """Functions come first, then classes, then errors."""
    return 0 if name.islower() else 2 if name.endswith("Error") else 1


def _cell(text: str | None) -> str:
    """A help text that can stand in a table."""
    return str(text).replace("%%", "%").replace("|", "\\|").replace("*", "\\*")


def on_files(files: Any, config: Any) -> None:
    """Add the pages to the site that mkdocs is building."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
