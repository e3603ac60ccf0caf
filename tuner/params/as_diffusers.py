"""A study's best setting as a script of plain Python: diffusers and the published packages."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from tuner import registry
from tuner.errors import UnfitError, UsageError
from tuner.formatting import percent, times
from tuner.loading import dtype_named, model_named, pipeline_options
from tuner.params.pick import Point, chosen_point
from tuner.plain_code import PlainCode, Source, Use
from tuner.printable import printable
from tuner.scheduler_table import SCHEDULERS, Row, name_of
from tuner.setting import Setting
from tuner.size import Size

WIDTH = 88  # of a line of the script
IN_DOCSTRING = str.maketrans({"\\": "/", '"': "'"})  # so that no name of a study ends it


def script(name: str, study: Mapping[str, Any]) -> str:
    """A script that draws the pictures of a study's picked or best setting without the tuner.

    Its function `generate` takes the pipeline's own arguments; those under which the study was
    measured are the defaults. With the versions and on the device that measured the study, the
    pictures are those of the trial, bit for bit.

    Args:
        name: of the study.
        study: an entry of `search_params.json`.

    Raises:
        UsageError: the study has no feasible setting, or no known dtype or seed.
        UnfitError: published packages would draw other pictures; the message names the
            accelerators that need `tuner.apply`, and why.
    """
    _check_code(study["evaluation"])
    chosen = chosen_point(study)
    known = {model.pipeline for model in registry.components("models").values()}
    if "own" in study or study["pipeline"] not in known:
        raise UnfitError(
            "plain diffusers code is written for known models only, and not for a "
            f"{study['pipeline']} of your own; apply the file with tuner.apply"
        )
    if chosen is None:
        raise UsageError(f"{name} has no feasible setting")
    setting = Setting.of(chosen["params"])
    try:
        codes = codes_of(setting, study)
    except UnfitError as error:
        raise UnfitError(f"{error}{_instead(study)}") from None
    sections = [
        _about(name, chosen, study),
        _imports(study, codes),
        _loading(study),
        *("\n".join(code.setup) for code in codes if code.setup),
    ]
    return "\n\n".join(sections) + "\n\n\n" + _generate(study, codes) + "\n\n\n" + _MAIN


def _check_code(evaluation: Mapping[str, Any]) -> None:
    """Check the values that become code of the script as they are; all others become literals."""
    dtype_named(evaluation["dtype"])
    if type(evaluation["seed"]) is not int:
        raise UsageError(f"the seed of a study is a whole number, not {evaluation['seed']!r:.80}")


def codes_of(setting: Setting, study: Mapping[str, Any]) -> list[PlainCode]:
    """The code of each accelerator of a setting, under a study's conditions.

    Args:
        setting: the setting.
        study: as in `script`; its pipeline, steps and conditions are read.

    Raises:
        UnfitError: as in `script`.
    """
    codes: list[PlainCode] = []
    reasons: dict[str, str] = {}
    for part in setting.accelerators:
        others = [other.occupies for other in setting.accelerators if other is not part]
        try:
            codes.append(part.plain_code(_use(study, frozenset().union(*others))))
        except UnfitError as error:
            reasons[part.name] = str(error)
    if reasons:
        raise UnfitError(
            f"{setting} cannot be written in plain diffusers: {' and '.join(reasons)} would draw "
            f"other pictures there ({'; '.join(reasons.values())}); apply the setting with "
            "tuner.apply"
        )
    return codes


def _instead(study: Mapping[str, Any]) -> str:
    """The fastest feasible setting that can be written, as the end of an error's message."""
    points = [*study["by_combination"].values(), *study["pareto"]]
    for point in sorted(points, key=lambda point: -point["speedup"]):
        setting = Setting.of(point["params"])
        try:
            codes_of(setting, study)
        except UnfitError:
            continue
        if point["feasible"]:
            speedup = times(point["speedup"])
            return f"; {setting} ({speedup}, trial {point['trial']}) can be written"
    return ""


def _use(study: Mapping[str, Any], occupied: frozenset[str]) -> Use:
    evaluation = study["evaluation"]
    takes_guidance = study["pipeline"] == "FluxPipeline"  # as an input, without a second pass
    return Use(
        pipeline=study["pipeline"],
        device_type=evaluation.get("device_type", "unknown"),
        dtype=evaluation["dtype"],
        steps=study["steps"],
        guided=_guidance(study) > 1 and not takes_guidance,
        batch=evaluation["batch"],
        seed=evaluation["seed"],
        occupied=occupied,
        size=Size.of(evaluation),
    )


def _about(name: str, chosen: Point, study: Mapping[str, Any]) -> str:
    setting, evaluation = Setting.of(chosen["params"]), study["evaluation"]
    versions = study["versions"]
    names = ["torch", "diffusers", *(n for part in setting.accelerators for n in part.packages)]
    packages = ", ".join(f"{n} {versions[n]}" for n in names if n in versions)
    head = "\n".join(
        (
            f"{name} with {setting}, written by `tuner export --format diffusers`.",
            "",
            f"{chosen['speedup']:.2f} times as fast as without, at a score loss of "
            f"{percent(chosen['score_loss'])}; measured on",
            f"{evaluation.get('device', 'an unknown device')} in batches of {evaluation['batch']}, "
            f"{evaluation['dtype']}, with {packages or 'unknown packages'}.",
        )
    )
    return f'"""{printable(head).translate(IN_DOCSTRING)}\n"""'


def _imports(study: Mapping[str, Any], codes: Iterable[PlainCode]) -> str:
    """One line for each module."""
    from_diffusers = f"from diffusers import {_scheduler(study).kind}, {study['pipeline']}"
    lines = {"import torch", from_diffusers, *(line for code in codes for line in code.imports)}
    names: dict[str, set[str]] = defaultdict(set)  # by module
    for line in lines:
        module, _, imported = line.partition(" import ")
        names[module] |= set(imported.split(", ")) - {""}
    return "\n".join(
        _wrapped(f"{module} import ", sorted(names[module])) if names[module] else module
        for module in sorted(names, key=lambda module: (module.startswith("from"), module))
    )


def _wrapped(start: str, names: list[str]) -> str:
    line = start + ", ".join(names)
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{start}(", *(f"    {name}," for name in names), ")"])


def _guidance(study: Mapping[str, Any]) -> float:
    """The guidance scale: that of the conditions or, where they have none, the model's default."""
    guidance: float | None = study["evaluation"].get("guidance")
    return model_named(study["pipe"]).guidance_scale if guidance is None else guidance


def _loading(study: Mapping[str, Any]) -> str:
    """Loads the pipeline as `tuner.load` does."""
    evaluation, kind = study["evaluation"], study["pipeline"]
    source = study.get("model") or model_named(study["pipe"]).source
    device = '"cuda" if torch.cuda.is_available() else "cpu"'
    if "device_type" in evaluation:
        device = json.dumps(evaluation["device_type"])
    scheduler = _scheduler(study)
    chosen = "".join(f", {name}={value!r}" for name, value in scheduler.options.items())
    options = [f"    {name}={value!r}," for name, value in pipeline_options(kind).items()]
    lines = [
        f"pipe = {kind}.from_pretrained(",
        f"    {json.dumps(source)},",
        f"    dtype=torch.{evaluation['dtype']},",
        *options,
        ")",
        f"pipe.to({device})",
        f"pipe.scheduler = {scheduler.kind}.from_config(pipe.scheduler.config{chosen})",
    ]
    return "\n".join(lines)


def _scheduler(study: Mapping[str, Any]) -> Row:
    """The study's scheduler: its class in diffusers with its options."""
    return SCHEDULERS[name_of(study["sched"])]


def _generate(study: Mapping[str, Any], codes: list[PlainCode]) -> str:
    """The function that a user calls."""
    evaluation = study["evaluation"]
    arguments: dict[str, Any] = {
        "num_inference_steps": study["steps"],
        "guidance_scale": _guidance(study),
    }
    size = Size.of(evaluation)
    if size is not None:
        arguments |= {"height": size.height, "width": size.width}
    if "negative_prompt" in evaluation:
        # diffusers takes one text for one prompt, and a list for several.
        text = json.dumps(evaluation["negative_prompt"])
        arguments["negative_prompt"] = Source(
            f"{text} if isinstance(prompt, str) else [{text}] * len(prompt)"
        )
    if study["pipeline"].startswith("PixArt"):
        arguments["use_resolution_binning"] = False
    for code in codes:
        arguments |= code.arguments
    call = next((code.call for code in codes if code.call != "pipe"), "pipe")
    contexts = dict.fromkeys(code.context for code in codes if code.context)
    run = f"return {call}(prompt, **measured | arguments)"
    body = [
        "measured = {",
        *(f"    {json.dumps(name)}: {value!r}," for name, value in arguments.items()),
        "}",
        *dict.fromkeys(line for code in codes for line in code.before),
        *([f"with {', '.join(contexts)}:", f"    {run}"] if contexts else [run]),
    ]
    lines = [
        "def generate(prompt, **arguments):",
        '    """Call the pipeline; arguments that are not given are those that were measured."""',
        *(f"    {line}" for line in body),
    ]
    return "\n".join(lines)


_MAIN = """if __name__ == "__main__":
    picture = generate("a red circle", generator=torch.Generator().manual_seed(0)).images[0]
    picture.save("picture.png")
"""
