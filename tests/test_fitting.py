"""Accelerators that do not fit a study: an error where the user named them, else left out."""

from dataclasses import replace

import pytest

from tests.helpers.pipelines import new, tiny
from tuner.errors import UnfitError
from tuner.fitting import fitting
from tuner.spec import StudySpec


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0])
def test_without_guidance_tgate_is_left_out_of_the_defaults(guidance_scale: float) -> None:
    spec = StudySpec(pipe="miniature", guidance_scale=guidance_scale)
    fitted, lines = fitting(spec, tiny("sd"), {"guidance_scale": guidance_scale})
    assert fitted == replace(spec, search_targets=("deepcache", "tome"))
    assert lines == [f"left out: tgate needs guidance_scale above 1, not {guidance_scale:g}"]


def test_a_study_whose_accelerators_fit_is_unchanged() -> None:
    spec = StudySpec(pipe="miniature")
    assert fitting(spec, tiny("sd"), {"guidance_scale": 7.5}) == (spec, [])
    assert fitting(replace(spec, seed=7), tiny("sdxl"), {"guidance_scale": 5.0}) == (
        replace(spec, seed=7),
        [],
    )


@pytest.mark.parametrize(
    "named",
    [
        {"search_targets": ("deepcache", "tgate")},
        {"search_targets": ("deepcache", "tome", "tgate")},  # the defaults, but named
        {"knobs": {"tgate": {"warmup": (1, 2)}}},
    ],
    ids=str,
)
def test_an_accelerator_that_was_named_and_does_not_fit_is_an_error(
    named: dict[str, object],
) -> None:
    spec = StudySpec(pipe="miniature", **named)  # type: ignore[arg-type]
    with pytest.raises(UnfitError, match="tgate needs guidance_scale above 1"):
        fitting(spec, tiny("sd"), {"guidance_scale": 1.0})


def test_accelerators_that_replace_the_defaults_count_as_named() -> None:
    spec = replace(StudySpec(pipe="miniature"), search_targets=("deepcache", "tgate"))
    with pytest.raises(UnfitError, match="tgate needs guidance_scale above 1"):
        fitting(spec, tiny("sd"), {"guidance_scale": 1.0})


def test_defaults_that_do_not_fit_another_pipeline_are_left_out() -> None:
    spec = StudySpec(pipe="miniature")
    fitted, lines = fitting(spec, tiny("pixart"), {"guidance_scale": 4.5})
    assert fitted.search_targets == ("tome", "tgate")
    assert [line[:38] for line in lines] == ["left out: deepcache does not fit PixAr"]
    with pytest.raises(
        UnfitError, match=r"no accelerator fits: deepcache does .*; tome .*; tgate "
    ):
        fitting(spec, tiny("flux"), {"guidance_scale": 3.5})


def test_a_value_for_a_part_that_the_model_lacks_is_an_error() -> None:
    knobs = {"deepcache": {"cache_branch_id": (0, 11)}}  # as SD1.5 has them
    assert fitting(StudySpec(knobs=knobs), tiny("sd"), {"guidance_scale": 7.5})[1] == []
    pipeline = tiny("sdxl")
    with pytest.raises(UnfitError, match="cache_branch_id = 11 does not exist in this U-Net"):
        fitting(StudySpec(knobs=knobs), pipeline, {"guidance_scale": 5.0})
    assert not any("forward" in vars(module) for module in pipeline.unet.modules())


def test_deepcache_refuses_a_u_net_whose_blocks_have_another_number_of_resnets() -> None:
    pipeline = new("sd")
    pipeline.unet.down_blocks[0].resnets.append(pipeline.unet.down_blocks[0].resnets[0])
    spec = StudySpec(search_targets=("deepcache",))
    with pytest.raises(
        UnfitError, match=r"^deepcache needs a U-Net with 2 ResNets .* has 3; leave"
    ):
        fitting(spec, pipeline, {"guidance_scale": 7.5})
