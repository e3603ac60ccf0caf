"""Requests are recognised without loading the model."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tuner.spec import StudySpec
from tuner.study.requests import is_answered, request_key, store_answer, store_opened, study_key

SPEC = StudySpec(pipe="miniature", steps=20)


class Study:
    """A study's attributes."""

    def __init__(self) -> None:
        self.user_attrs: dict[str, Any] = {}

    def set_user_attr(self, name: str, value: Any) -> None:
        self.user_attrs[name] = value


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 25},
        {"sched": "UniPC"},
        {"seed": 1},
        {"num_samples": 8},
        {"batch_size": 2},
        {"resolution": 32},
        {"prompts": ("one", "two")},
        {"guidance_scale": 2.0},
        {"metrics": ("ssim",)},
        {"sampler": "grid"},
    ],
    ids=str,
)
def test_another_way_of_evaluating_is_another_study(changes: dict[str, Any]) -> None:
    assert study_key(replace(SPEC, **changes)) != study_key(SPEC)


@pytest.mark.parametrize(
    "changes",
    [{"req_speedup": 2.0}, {"req_score_loss": 0.05}, {"search_targets": ("tome",)}, {"trials": 5}],
    ids=str,
)
def test_another_request_of_a_search_has_the_same_study(changes: dict[str, Any]) -> None:
    other = replace(SPEC, **changes)
    assert study_key(other) == study_key(SPEC)
    assert (request_key(other) == request_key(SPEC)) is ("trials" in changes)


def test_each_product_of_a_grid_has_a_study_of_its_own() -> None:
    first = replace(SPEC, sampler="grid", search_targets=("deepcache",))
    assert study_key(first) != study_key(replace(first, search_targets=("tome",)))


def test_a_changed_file_of_prompts_is_another_study(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("a red circle\na blue square\n")
    spec = replace(SPEC, prompts=str(file))
    before = study_key(spec)
    assert study_key(spec) == before
    os.utime(file, (1, 1))
    assert study_key(spec) != before


def test_changed_weights_in_a_folder_are_another_study(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    weights = tmp_path / "unet" / "model.safetensors"
    weights.write_bytes(b"1")
    spec = replace(SPEC, model=str(tmp_path))
    before = study_key(spec)
    weights.write_bytes(b"22")
    assert study_key(spec) != before


def test_a_pipeline_of_the_users_own_is_never_recognised_unseen() -> None:
    spec = StudySpec(pipeline="production.py:make_pipeline")
    study = Study()
    store_opened(study, spec)  # type: ignore[arg-type]
    store_answer(study, spec, for_good=True)  # type: ignore[arg-type]
    assert study.user_attrs == {}
    assert not is_answered({"answered None": {"trials": 1, "for_good": True}}, spec)


@pytest.mark.parametrize(
    ("before", "for_good", "now", "answered"),
    [
        (50, False, 50, True),
        (50, False, 40, True),
        (50, False, 60, False),
        (50, True, 60, True),
    ],
)
def test_a_request_is_answered_by_as_many_trials(
    before: int, for_good: bool, now: int, answered: bool
) -> None:
    study = Study()
    store_answer(study, replace(SPEC, trials=before), for_good=for_good)  # type: ignore[arg-type]
    assert is_answered(study.user_attrs, replace(SPEC, trials=now)) is answered
    other = replace(SPEC, trials=now, req_score_loss=0.05)
    assert not is_answered(study.user_attrs, other)
