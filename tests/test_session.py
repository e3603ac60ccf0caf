"""From a spec to an evaluation: the size of the pictures and the negative prompt."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.pipelines import tiny
from tuner.errors import UsageError
from tuner.fitting import check_negative_prompt
from tuner.measure.evaluation import Evaluation
from tuner.params.verify import spec_of
from tuner.params.write import entry
from tuner.search.runner.observer import Observer
from tuner.session import Session
from tuner.size import Size
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.study.identity import identity, study_of

SMALL: dict[str, Any] = {"pipe": "miniature", "steps": 2, "num_samples": 2, "batch_size": 2}


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


def first_batch(evaluation: Evaluation) -> Any:
    return evaluation.generate(evaluation.pipeline, evaluation.batches()[0])[0]


def test_a_side_that_is_not_set_is_the_resolution_and_that_the_models(session: Session) -> None:
    for values, size in (
        ({}, Size(64, 64)),
        ({"height": 96}, Size(96, 64)),
        ({"resolution": 32, "width": 48}, Size(32, 48)),
        ({"height": 48, "width": 32}, Size(48, 32)),
    ):
        assert session.evaluation(StudySpec(**SMALL, **values)).size == size


def test_pictures_have_the_height_and_the_width_of_the_study(session: Session) -> None:
    pictures = first_batch(session.evaluation(StudySpec(**SMALL, height=48, width=32)))
    assert pictures.shape == (2, 3, 48, 32)


def test_a_square_is_the_same_study_however_its_sides_are_given(session: Session) -> None:
    by_side, by_both = (
        identity(session.evaluation(StudySpec(**SMALL, **values)))
        for values in ({"resolution": 32}, {"height": 32, "width": 32})
    )
    assert by_side == by_both
    assert by_side["resolution"] == 32
    assert "negative_prompt" not in by_side


def test_a_negative_prompt_changes_the_pictures_and_the_study(session: Session) -> None:
    plain, negative = (
        session.evaluation(StudySpec(**SMALL, resolution=32, negative_prompt=text))
        for text in (None, "a red circle")
    )
    assert not first_batch(plain).equal(first_batch(negative))
    assert identity(negative) == identity(plain) | {"negative_prompt": "a red circle"}


def test_a_negative_prompt_without_effect_is_refused() -> None:
    check_negative_prompt(tiny("sd"), 7.5)
    for family, guidance_scale in (("sd", 1.0), ("flux", 3.5)):
        with pytest.raises(
            UsageError, match=r"^negative_prompt has no effect with .*leave it out$"
        ):
            check_negative_prompt(tiny(family), guidance_scale)


def test_a_study_of_a_rectangle_is_exported_and_verified_under_its_own_conditions(
    session: Session, tmp_path: Path
) -> None:
    spec = StudySpec(
        **SMALL,
        sched="DPM++ 2M Karras",
        height=48,
        width=32,
        negative_prompt="blurry",
        trials=1,
        search_targets=("tome",),
        reference=False,
        storage=f"sqlite:///{tmp_path / 'tuner.db'}",
    )
    session.run(spec, Observer())
    storage = Storage(spec.storage)
    assert storage.study_names() == ["miniature/DPM++ 2M Karras/2"]
    square = replace(spec, height=None, width=None, negative_prompt=None, resolution=32)
    other = study_of(square, session.evaluation(square), storage)
    assert "resolution=32,negative_prompt=none" in other.study_name
    in_file = entry(storage.study("miniature/DPM++ 2M Karras/2"))
    assert "resolution" not in in_file["evaluation"]
    assert (in_file["evaluation"]["height"], in_file["evaluation"]["width"]) == (48, 32)
    assert in_file["evaluation"]["scheduler_options"] == {
        "algorithm_type": "dpmsolver++",
        "use_karras_sigmas": True,
    }
    again = spec_of(in_file, {})
    assert (again.size(64), again.negative_prompt) == (Size(48, 32), "blurry")
