"""The JSON Schema of study files, for editors; `python -m tuner.cli.study_schema` writes it.

It is made from what reads study files: the types and ranges from `tuner.spec`, names and knobs from
the components, descriptions from the flags of `tuner run`.
"""

import argparse
import json
import re
from dataclasses import MISSING, fields
from typing import Any

from tuner import registry
from tuner.accelerators import Accelerator, Knob
from tuner.cli.study_flags import study_flags
from tuner.formatting import sentence
from tuner.sampler_table import SAMPLERS
from tuner.scheduler_table import SCHEDULERS
from tuner.size import LONGEST_SIDE
from tuner.spec import (
    ABOVE_ZERO,
    AIMS,
    CODE,
    DEFAULT_STEPS,
    LISTS,
    NUMBERS,
    SEEDS,
    SIDE_MULTIPLE,
    SIDES,
    SWITCHES,
    WHOLE_NUMBERS,
    StudySpec,
)
from tuner.study_files import PRODUCT_KEYS, bundled_studies

PATH = bundled_studies() / "study.schema.json"
TABLES = {
    "knobs": "The values that the search tries, by accelerator and knob; for other knobs it tries "
    "the accelerator's own values.",
    "limits": "Limits of extra metrics: upper limits of distances (lpips) and of drops of a reward "
    "score (pickscore), lower limits of similarities (ssim).",
}
EXAMPLES: dict[str, Any] = {  # of keys that have no default, or none with a pipeline of one's own
    "pipe": "SDXL",
    "sched": "DDIM",
    "steps": 20,
    "guidance_scale": 5.0,
    "resolution": 1024,
    "req_time": 0.5,
    "req_speedup": 2.0,
    "trials": 100,
    "min_gain": 0.002,
    "timeout": 3600.0,
    "device": "cuda:0",
    "scorer_device": "cpu",
    "dtype": "float16",
    "compile": "default",
    "model": "./my-model",
    "pipeline": "production.py:make_pipeline",
    "call": "production.py:make_call",
    "prompts": "my_prompts.txt",
    "height": 1216,
    "width": 832,
    "negative_prompt": "blurry, low quality",
    "metrics": ["lpips", "ssim"],
    "limits": {"lpips": 0.2},
}

DEFAULTS = {"steps": DEFAULT_STEPS}  # of a known model


def schema() -> dict[str, Any]:
    """The schema, with the keys in the order of the flags; the two tables come last."""
    properties = {name: _value(name) | _notes(name) for name in descriptions()}
    return {
        # the newest draft that the editors' TOML support knows
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Study file of diffusion-tuner",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def descriptions() -> dict[str, str]:
    """What each key of a study file means; for keys with a flag, the flag's help."""
    # A flag's destination is its key.
    flags = {action.dest: action for group in flag_groups().values() for action in group}
    return {name: _in_a_file(flag) for name, flag in flags.items() if name not in TABLES} | TABLES


def flag_groups() -> dict[str, list[argparse.Action]]:
    """Title of a group of flags -> the flags."""
    groups = study_flags()._action_groups
    return {str(group.title): group._group_actions for group in groups if group._group_actions}


def _in_a_file(flag: argparse.Action) -> str:
    """A flag's help with the keys and the lists of study files."""
    text = str(flag.help).replace("%%", "%")
    text = re.sub(r"--[a-z-]*[a-z]", lambda match: f"`{_key(match[0])}`", text)
    text = text.replace("are separated by commas", "are given as a list")
    text = text.replace("separated by commas", "as a list")
    text = re.sub(r"such as (\w+(?:,\w+)+)", lambda match: f"such as {_list(match[1])}", text)
    text = f"set `{flag.dest}` to false to {text}" if flag.const is False else text
    return sentence(text)


def _key(flag: str) -> str:
    """The key of a study file that a flag sets."""
    actions = (action for group in flag_groups().values() for action in group)
    return next((a.dest for a in actions if flag in a.option_strings), flag)


def _list(names: str) -> str:
    return json.dumps(names.split(","))


def _notes(name: str) -> dict[str, Any]:
    """The description, default and example of a key."""
    notes: dict[str, Any] = {"description": descriptions()[name]}
    default = next(field.default for field in fields(StudySpec) if field.name == name)
    default = DEFAULTS.get(name, default)
    if default not in (None, MISSING, ()):
        notes["default"] = default
    if name in EXAMPLES:
        notes["examples"] = [EXAMPLES[name]]
    return notes


def _value(name: str) -> dict[str, Any]:
    """What a key's value may be."""
    if name == "knobs":
        return _table({n: _knobs(kind) for n, kind in registry.components("accelerators").items()})
    if name == "limits":
        return _table({metric: {"type": "number"} for metric in _extra_metrics()})
    if name in SWITCHES:
        return {"type": "boolean"}
    if name in ("pipeline", "call"):
        code = {"type": "string", "pattern": f"^{CODE.pattern}$"}
        return code if name == "pipeline" else {"anyOf": [code, {"type": "object"}]}
    if name == "prompts":
        text = {"type": "string", "minLength": 1}
        return {"anyOf": [text, {"type": "array", "items": text}]}
    if name in WHOLE_NUMBERS:
        value: dict[str, Any] = {"type": "integer", "minimum": WHOLE_NUMBERS[name]}
        if name == "seed":
            value["maximum"] = SEEDS - 1
        elif name in SIDES:
            value |= {"multipleOf": SIDE_MULTIPLE, "maximum": LONGEST_SIDE}
    elif name in NUMBERS:
        value = {"type": "number"} | _range(name)
    else:
        names = _names().get(name)
        value = {"type": "string", "minLength": 1} if names is None else {"enum": names}
    if name in LISTS or name in PRODUCT_KEYS:
        several = {"type": "array", "items": value, "minItems": 0 if name == "metrics" else 1}
        return several if name in LISTS else _one_or(several)
    return value


def _one_or(several: dict[str, Any]) -> dict[str, Any]:
    """One item of a list, or the list."""
    value: dict[str, Any] = several["items"]
    if "enum" in value:
        return {"anyOf": [value, several]}
    # Editors explain this better than alternatives: 'less than the minimum of 1'.
    return value | several | {"type": [value["type"], "array"]}


def _range(name: str) -> dict[str, Any]:
    if name in ABOVE_ZERO:
        return {"exclusiveMinimum": 0}
    if name == "req_score_loss":
        return {"exclusiveMinimum": 0, "exclusiveMaximum": 1}
    return {"minimum": 0}


def _names() -> dict[str, list[str]]:
    """The names that some keys choose among; the tuner reads them in any case."""
    return {
        "pipe": list(registry.components("models")),
        "sched": _schedulers(),
        "search_targets": list(registry.components("accelerators")),
        "metrics": _extra_metrics(),
        "sampler": list(SAMPLERS),
        "aim": list(AIMS),
    }


def _schedulers() -> list[str]:
    """All names of the schedulers, and their classes in diffusers."""
    usual = [name for key, row in SCHEDULERS.items() for name in (key, *row.also)]
    return [*usual, *dict.fromkeys(row.kind for row in SCHEDULERS.values())]


def _extra_metrics() -> list[str]:
    """All metrics but one that is the score of every model."""
    scores = {model.metric for model in registry.components("models").values()}
    names = list(registry.components("metrics"))
    return [name for name in names if scores != {name}]


def _knobs(accelerator: type[Accelerator]) -> dict[str, Any]:
    return _table({knob.name: _knob(knob) for knob in accelerator.knobs()})


def _knob(knob: Knob) -> dict[str, Any]:
    whole = all(isinstance(value, int) for value in knob.values)
    value = {
        "type": "integer" if whole else "number",
        "minimum": knob.low,
        "maximum": knob.high,
    }
    several = {"type": "array", "items": value, "minItems": 1}
    return _one_or(several) | {"description": sentence(knob.help), "default": list(knob.values)}


def _table(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def main() -> None:
    """Write the schema beside the bundled study files."""
    PATH.write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {PATH}")


if __name__ == "__main__":
    main()
