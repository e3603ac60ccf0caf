"""Files that are no `search_params.json`, and files of an earlier version."""

import json
from pathlib import Path
from typing import Any

import pytest

import tuner
from tests.params.files import contents, file, study
from tests.params.settings import DEEPCACHE
from tuner.errors import UsageError
from tuner.params.read import read


@pytest.mark.parametrize("source", [{"deepcache": 3}, {"deepcache": None}, 7, {"schema": 1}])
def test_a_source_that_is_neither_a_setting_nor_a_file_is_refused(pipe: Any, source: Any) -> None:
    with pytest.raises(UsageError) as caught:
        tuner.apply(pipe, source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 2, "studies": {}}'])
def test_a_file_of_another_kind_is_refused(pipe: Any, tmp_path: Path, text: str) -> None:
    path = tmp_path / "search_params.json"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        tuner.apply(pipe, path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ((), {"schema": 1}, r"at the top level: 'studies' is a required property"),
        (("studies", "one", "steps"), "ten", r"at studies → one → steps: 'ten' is not of type"),
        (("studies", "one", "sched"), "DIM", r"studies → one → sched: unknown scheduler 'DIM'"),
        (("studies", "one", "best"), {}, r"at studies → one → best: 'latency_s' is a required"),
        (("studies", "one", "best", "params"), {"tome": 3}, r"best → params → tome: 3 is not of"),
        (("studies", "one", "evaluation"), {}, r"→ evaluation: 'weights' is a required property"),
        (("studies", "one", "goal"), None, r"studies → one → goal: None is not of type 'object'"),
    ],
)
def test_a_malformed_file_is_refused_with_the_invalid_part_named(
    tmp_path: Path, place: tuple[str, ...], value: Any, words: str
) -> None:
    whole: Any = contents(one=study(8, DEEPCACHE, evaluation={}))
    if place:
        part = whole
        for name in place[:-1]:
            part = part[name]
        part[place[-1]] = value
    else:
        whole = value
    path = tmp_path / "search_params.json"
    path.write_text(json.dumps(whole))
    with pytest.raises(UsageError, match=words) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_an_older_version_without_some_figures_is_read(tmp_path: Path) -> None:
    old = study(8, DEEPCACHE, evaluation={})
    for name in ("fidelity", "certainty", "memory_gib", "host_memory_gib"):
        del old["best"][name]
    del old["goal"]["limits"], old["baseline"]["memory_gib"], old["baseline"]["host_memory_gib"]
    read_study = read(file(tmp_path, one=old))["studies"]["one"]
    assert (read_study["best"]["fidelity"], read_study["goal"]["limits"]) == ({}, {})
