"""`tuner init`: a study file with every key, its meaning and its default."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tuner.cli.study_schema import EXAMPLES, PATH, TABLES, descriptions, flag_groups
from tuner.errors import UsageError
from tuner.formatting import sentence
from tuner.spec import StudySpec
from tuner.study_files import PRODUCT_KEYS, read_specs

WIDTH = 100  # columns of the file
MODEL_KEYS = ("guidance_scale", "resolution", "prompts")  # their defaults are the model's
CALL = {"num_inference_steps": 30, "strength": 0.6, "image": "sketch.png"}  # an example
HEAD = """\
A study file of diffusion-tuner: `tuner run {file}` runs it, and flags override its keys.
A line such as `#steps = 50` shows the default, or an example where it says so; to set a key,
delete the # and change the value. The first line above tells editors of TOML the schema."""


def write_study_file(path: Path, flags: Mapping[str, Any]) -> str:
    """Write a study file in which the keys of the given flags are set, and return what it runs.

    Args:
        path: the file to write.
        flags: key of study files -> value of its flag; None if not given.

    Raises:
        UsageError: a value is wrong, or the file exists or cannot be written.
    """
    specs = read_specs(None, flags)
    chosen = {name for name, value in flags.items() if value is not None}
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(study_text(path, specs, chosen))
    except FileExistsError as error:
        raise UsageError(
            f"{path} exists and is not overwritten; name another file: tuner init FILE"
        ) from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; choose another file") from error
    return specs[0].triple if len(specs) == 1 else f"{len(specs)} studies"


def study_text(path: Path, specs: list[StudySpec], chosen: set[str]) -> str:
    """The contents of a study file.

    Args:
        path: where it will be, for the file's first lines.
        specs: the studies that the file describes.
        chosen: the keys that are set; the others are comments.
    """
    lines = [f"#:schema {PATH.resolve().as_uri()}", *_comment(HEAD.format(file=path))]
    meanings = descriptions()
    for title, flags in flag_groups().items():
        lines += ["", f"# --- {title} ---"]
        names = [flag.dest for flag in flags if flag.dest not in TABLES]
        for name in (name for name in names if name != "call" or "call" in chosen):
            lines += ["", *_comment(meanings[name]), *_pair(name, specs, name in chosen)]
    limits = specs[0].limits if "limits" in chosen else EXAMPLES["limits"]
    lines += ["", "# --- tables; they stand below all other keys ---"]
    if "call" not in chosen:
        lines += ["", *_comment(meanings["call"]), *_table("call", CALL, False)]
    lines += ["", *_comment(meanings["limits"])]
    lines += _table("limits", limits, "limits" in chosen)
    lines += ["", *_comment(meanings["knobs"])]
    for number, accelerator in enumerate(specs[0].accelerators):
        lines += [""] * (number > 0)
        knobs = accelerator.knobs()
        values = {knob.name: list(knob.values) for knob in knobs}
        lines += _table(
            f"knobs.{accelerator.name}",
            values,
            False,
            {knob.name: sentence(knob.help) for knob in knobs},
        )
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    """A text as lines of comments."""
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line, WIDTH - 2)]
    return [f"# {line}" for line in lines]


def _pair(name: str, specs: list[StudySpec], is_set: bool) -> Iterator[str]:
    """The line of a key, and one that says so where its value is an example."""
    value = _in_use(name, specs)
    if value is None or value == ():
        yield "# example:"
        value = EXAMPLES[name]
    yield f"{'' if is_set else '#'}{name} = {_toml(value)}"


def _in_use(name: str, specs: list[StudySpec]) -> Any:
    """The value of a key in the studies; None if nothing gives it one."""
    if name in PRODUCT_KEYS:
        values = list(dict.fromkeys(getattr(spec, name) for spec in specs))
        return values[0] if len(values) == 1 else values
    value = getattr(specs[0], name)
    if value is None and name in MODEL_KEYS and specs[0].pipeline is None:
        return getattr(specs[0].family, name)
    return value


def _table(
    name: str, values: Mapping[str, Any], is_set: bool, meanings: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The lines of a table: its name, and its keys with what they mean where that is given."""
    mark = "" if is_set else "#"
    yield f"{mark}[{name}]"
    for key, value in values.items():
        if meanings is not None:
            yield from _comment(meanings[key])
        yield f"{mark}{key} = {_toml(value)}"


def _toml(value: Any) -> str:
    """A value in TOML, whose texts, numbers, switches and lists are those of JSON."""
    return re.sub(r"\.0$", "", json.dumps(value, ensure_ascii=False))
