"""The lines that apply a study's best setting can be run as they stand."""

import ast
import shlex
from dataclasses import replace
from typing import Any

import optuna
import pytest

from tests.report.studies import HOSTILE
from tuner.report.apply_lines import export_command, lines_of_setting, lines_with_file
from tuner.report.content import StudyContent, read_content


@pytest.fixture
def content(study: optuna.Study) -> StudyContent:
    return read_content(study)


def calls(lines: str) -> dict[str, ast.Call]:
    """The calls in lines of Python, by what is called."""
    nodes = [node for node in ast.walk(ast.parse(lines)) if isinstance(node, ast.Call)]
    return {ast.unparse(node.func): node for node in nodes}


def keywords(call: ast.Call) -> dict[str, Any]:
    return {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in call.keywords}


def test_the_setting_in_the_lines_is_the_best_one(content: StudyContent) -> None:
    assert content.best is not None
    lines = lines_of_setting(content, content.best)
    (assigned,) = [
        node.value
        for node in ast.walk(ast.parse(lines))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "setting"
    ]
    assert ast.literal_eval(assigned) == content.best.setting.params


def test_the_call_has_the_conditions_of_the_study(content: StudyContent) -> None:
    call = calls(lines_with_file(content))["pipe"]
    expected = {"num_inference_steps": 50, "guidance_scale": 2.0, "height": 64, "width": 64}
    assert keywords(call) == expected


def test_names_with_quotes_stay_whole(content: StudyContent) -> None:
    hostile = f"{HOSTILE} it's \\"
    request = content.request | {"model": hostile}
    named = replace(content, name=hostile, attributes={**content.attributes, "request": request})
    assert keywords(calls(lines_with_file(named))["tuner.load"])["source"] == hostile
    assert shlex.split(export_command(named)) == [
        "tuner",
        "export",
        "--study",
        hostile,
        "-o",
        "search_params.json",
    ]
