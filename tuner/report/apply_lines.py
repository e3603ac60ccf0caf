"""The lines of code that apply a study's best setting."""

import json
import shlex
from typing import Any

from tuner.report.content import StudyContent
from tuner.size import Size
from tuner.study.results import Result

PROMPT = "a lighthouse at dusk"


def export_command(content: StudyContent) -> str:
    """The command that writes the study's settings to a file."""
    return f"tuner export --study {shlex.quote(content.name)} -o search_params.json"


def lines_with_file(content: StudyContent) -> str:
    """Python that applies the file to a pipeline for good."""
    return (
        f"import tuner\n\npipe = {_load(content)}\n"
        'undo = tuner.apply(pipe, "search_params.json")\n'
        f"image = pipe({_arguments(content, '')}).images[0]"
    )


def lines_of_setting(content: StudyContent, result: Result) -> str:
    """Python that applies one setting for the length of a block."""
    knobs = "".join(
        f"    {_literal(name)}: {_literal(values)},\n"
        for name, values in result.setting.params.items()
    )
    return (
        f"import tuner\n\npipe = {_load(content)}\nsetting = {{\n{knobs}}}\n"
        "with tuner.applied(pipe, setting) as generate:\n"
        f"    image = generate({_arguments(content, '    ')}).images[0]"
    )


def _load(content: StudyContent) -> str:
    request = content.request
    if "own" in request:
        return "...  # your pipeline, as it was when the study was made"
    arguments = [_literal(request["pipe"]), f"scheduler={_literal(request['sched'])}"]
    if request.get("model"):
        arguments.append(f"source={_literal(request['model'])}")
    return f"tuner.load({', '.join(arguments)})"


def _arguments(content: StudyContent, indent: str) -> str:
    """The arguments of a call under the conditions of the study, one a line."""
    evaluation = content.attributes.get("evaluation", {})
    arguments: dict[str, Any] = {"num_inference_steps": content.request["steps"]}
    if evaluation.get("guidance") is not None:
        arguments["guidance_scale"] = evaluation["guidance"]
    size = Size.of(evaluation)
    if size is not None:
        arguments |= {"height": size.height, "width": size.width}
    if "negative_prompt" in evaluation:
        arguments["negative_prompt"] = evaluation["negative_prompt"]
    if "own" in content.request:  # its call may have pictures, which only the user has
        return f"\n{indent}    {_literal(PROMPT)},\n{indent}    **call,  # as measured\n{indent}"
    lines = [_literal(PROMPT), *(f"{name}={_literal(v)}" for name, v in arguments.items())]
    return "".join(f"\n{indent}    {line}," for line in lines) + f"\n{indent}"


def _literal(value: Any) -> str:
    """Text and numbers as Python writes them, with the quotes that Python programs mostly have."""
    return json.dumps(value, ensure_ascii=False)
