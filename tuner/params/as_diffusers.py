"""A study's best setting as a script of plain Python: diffusers and the published packages."""

from collections.abc import Iterable, Mapping
from typing import Any

from tuner.accelerators import Accelerator
from tuner.errors import UnfitError, UsageError
from tuner.loading import model_named, pipeline_options
from tuner.plain_code import PlainCode, Use
from tuner.schedulers import SCHEDULERS, name_of
from tuner.setting import Setting


def script(name: str, study: Mapping[str, Any]) -> str:
    """A script that draws the pictures of a study's best setting without the tuner.

    Its function `generate` takes the pipeline's own arguments; those under which the study was
    measured are the defaults. With the versions and on the device that measured the study, the
    pictures are those of the trial, bit for bit.

    Args:
        name: of the study.
        study: an entry of `search_params.json`.

    Raises:
        UsageError: the study has no feasible setting.
        UnfitError: published packages would draw other pictures; the message names the
            accelerators that need `tuner.apply`, and why.
    """
    if study["best"] is None:
        raise UsageError(f"{name} has no feasible setting")
    setting = Setting.of(study["best"]["params"])
    codes = [
        plain_code(part, setting.accelerators, study)
        for part in _expressible(name, setting, study).accelerators
    ]
    sections = [
        _about(name, setting, study),
        _imports(study, codes),
        _loading(study),
        *("\n".join(code.setup) for code in codes if code.setup),
    ]
    return "\n\n".join(sections) + "\n\n\n" + _generate(study, codes) + "\n\n\n" + _MAIN


def plain_code(
    part: Accelerator, setting: Iterable[Accelerator], study: Mapping[str, Any]
) -> PlainCode:
    """The code of one accelerator of a setting, under a study's conditions; or `UnfitError`."""
    evaluation = study["evaluation"]
    others = [other.occupies for other in setting if other is not part]
    takes_guidance = study["pipeline"] == "FluxPipeline"  # as an input, without a second pass
    use = Use(
        pipeline=study["pipeline"],
        device_type=evaluation.get("device_type", "unknown"),
        dtype=evaluation["dtype"],
        steps=study["steps"],
        guided=evaluation["guidance"] > 1 and not takes_guidance,
        batch=evaluation["batch"],
        seed=evaluation["seed"],
        occupied=frozenset().union(*others),
    )
    return part.plain_code(use)


def _expressible(name: str, setting: Setting, study: Mapping[str, Any]) -> Setting:
    """The setting, if published packages draw its pictures; otherwise an `UnfitError`."""
    reasons: dict[str, str] = {}
    for part in setting.accelerators:
        try:
            plain_code(part, setting.accelerators, study)
        except UnfitError as error:
            reasons[part.name] = str(error)
    if reasons:
        raise UnfitError(
            f"{setting}, the setting of {name}, cannot be written in plain diffusers: "
            f"{' and '.join(reasons)} would draw other pictures there "
            f"({'; '.join(reasons.values())}); apply the setting with tuner.apply"
        )
    return setting


def _about(name: str, setting: Setting, study: Mapping[str, Any]) -> str:
    best, evaluation, versions = study["best"], study["evaluation"], study["versions"]
    names = ["torch", "diffusers", *(n for part in setting.accelerators for n in part.packages)]
    packages = ", ".join(f"{n} {versions[n]}" for n in names if n in versions)
    return "\n".join(
        (
            f'"""{name} with {setting}, written by `tuner export --format diffusers`.',
            "",
            f"{best['speedup']:.2f} times as fast as without, at a score loss of "
            f"{best['score_loss']:.2%}; measured on",
            f"{evaluation.get('device', 'an unknown device')} in batches of {evaluation['batch']}, "
            f"{evaluation['dtype']}, with {packages or 'unknown packages'}.",
            '"""',
        )
    )


def _imports(study: Mapping[str, Any], codes: Iterable[PlainCode]) -> str:
    scheduler = SCHEDULERS[name_of(study["sched"])]
    lines = {"import torch", f"from diffusers import {scheduler}, {study['pipeline']}"}
    lines |= {line for code in codes for line in code.imports}
    return "\n".join(sorted(lines, key=lambda line: (not line.startswith("import"), line)))


def _loading(study: Mapping[str, Any]) -> str:
    """Loads the pipeline as `tuner.load` does."""
    evaluation, kind = study["evaluation"], study["pipeline"]
    source = study.get("model") or model_named(study["pipe"]).source
    options = "".join(f", {name}={value!r}" for name, value in pipeline_options(kind).items())
    anywhere = '"cuda" if torch.cuda.is_available() else "cpu"'
    device = repr(evaluation["device_type"]) if "device_type" in evaluation else anywhere
    return "\n".join(
        (
            f"pipe = {kind}.from_pretrained(",
            f"    {source!r}, dtype=torch.{evaluation['dtype']}{options}",
            f").to({device})",
            f"pipe.scheduler = {SCHEDULERS[name_of(study['sched'])]}.from_config("
            "pipe.scheduler.config)",
        )
    )


def _generate(study: Mapping[str, Any], codes: list[PlainCode]) -> str:
    """The function that a user calls."""
    evaluation = study["evaluation"]
    arguments = {
        "num_inference_steps": study["steps"],
        "guidance_scale": evaluation["guidance"],
        "height": evaluation["resolution"],
        "width": evaluation["resolution"],
    }
    if study["pipeline"].startswith("PixArt"):
        arguments["use_resolution_binning"] = False
    for code in codes:
        arguments |= code.arguments
    call = next((code.call for code in codes if code.call != "pipe"), "pipe")
    contexts = dict.fromkeys(code.context for code in codes if code.context)
    body = [
        "arguments = {",
        *(f"    {name!r}: {value!r}," for name, value in arguments.items()),
        "} | arguments",
        *dict.fromkeys(line for code in codes for line in code.before),
    ]
    run = f"return {call}(prompt, **arguments)"
    body += [f"with {', '.join(contexts)}:", f"    {run}"] if contexts else [run]
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
