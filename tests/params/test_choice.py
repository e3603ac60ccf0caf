"""Which study of a file a call uses: by steps, scheduler, weights, resolution and guidance."""

import copy
import warnings
from typing import Any

import pytest
import torch

import tuner
from tests.helpers.pipelines import new, new_double, pictures, same
from tests.helpers.relatives import with_ip_adapter
from tests.params.files import contents, study
from tests.params.settings import DEEPCACHE, TGATE, TOME, expected, weights
from tuner.errors import UsageError
from tuner.loading import fingerprint
from tuner.schedulers import set_scheduler


def test_each_call_uses_the_study_with_its_number_of_steps(pipe: Any) -> None:
    source = contents(few=study(6, DEEPCACHE), many=study(8, TGATE))
    wanted = {
        steps: expected(pipe, params, num_inference_steps=steps)
        for steps, params in ((6, DEEPCACHE), (8, TGATE))
    }
    with tuner.applied(pipe, source) as generate:
        for steps in (8, 6, 8):
            assert same(pictures(generate, num_inference_steps=steps), wanted[steps])
        with pytest.raises(UsageError, match="no study with 7 steps; its studies have 6, 8 steps"):
            pictures(pipe, num_inference_steps=7)


def test_steps_select_a_study_whatever_number_a_call_runs(pipe: Any) -> None:
    source = contents(few=study(6, DEEPCACHE), many=study(8, TGATE))
    images = expected(pipe, DEEPCACHE)
    with tuner.applied(pipe, source, steps=6) as generate:
        assert same(pictures(generate), images)
    with (
        pytest.raises(UsageError, match="no study with 7 steps; its studies have 6, 8 steps"),
        tuner.applied(pipe, source, steps=7),
    ):
        pass


def test_the_length_of_timesteps_is_the_number_of_steps() -> None:
    pipe = new("sd")
    set_scheduler(pipe, "DPM-Solver++")
    own = {"timesteps": [900, 700, 500, 300, 100, 10], "num_inference_steps": 50}
    images = expected(pipe, DEEPCACHE, **own)
    undo = tuner.apply(pipe, contents(six=study(6, DEEPCACHE, "DPM-Solver++")))
    assert same(pictures(pipe, **own), images)
    own["num_inference_steps"] = None
    assert same(pictures(pipe, **own), images)
    with pytest.raises(UsageError, match="no study with 5 steps"):
        pictures(pipe, timesteps=own["timesteps"][1:])
    undo()


@pytest.mark.parametrize("steps", [None, 0, -3, "8", True, 8.5])
def test_an_invalid_number_of_steps_is_refused(pipe: Any, steps: Any) -> None:
    undo = tuner.apply(pipe, DEEPCACHE)
    with pytest.raises(UsageError, match="num_inference_steps must be a whole number of at least"):
        pictures(pipe, num_inference_steps=steps)
    undo()


def test_each_call_uses_the_study_of_the_current_scheduler(pipe: Any) -> None:
    source = contents(ddim=study(8, DEEPCACHE), unipc=study(8, TOME, "UniPC"))
    undo = tuner.apply(pipe, source)
    set_scheduler(pipe, "UniPC")
    with_unipc = pictures(pipe)
    set_scheduler(pipe, "DPM-Solver++")
    with pytest.raises(UsageError, match=r"with DPMSolverMultistepScheduler; .* ddim .*DDIM, 8"):
        pictures(pipe)
    undo()
    set_scheduler(pipe, "UniPC")
    assert same(with_unipc, expected(pipe, TOME))


def test_schedulers_of_the_same_class_are_told_apart_by_their_options(pipe: Any) -> None:
    plain = weights(pipe, scheduler_options={"use_karras_sigmas": False})
    source = contents(
        plain=study(8, DEEPCACHE, "DPM-Solver++", evaluation=plain),
        karras=study(8, TOME, "DPM++ 2M Karras", evaluation=weights(pipe)),
    )
    set_scheduler(pipe, "DPM++ 2M Karras")
    images = expected(pipe, TOME)
    undo = tuner.apply(pipe, source)
    assert same(pictures(pipe), images)
    undo()
    del source["studies"]["karras"]
    with pytest.raises(
        UsageError,
        match=r"no feasible setting .* with DPMSolverMultistepScheduler, use_karras_sigmas=True; ",
    ):
        tuner.apply(pipe, source)


def test_a_study_with_another_scheduler_or_without_a_feasible_setting_is_not_used(
    pipe: Any,
) -> None:
    source = contents(other=study(8, DEEPCACHE, "UniPC"), nothing=study(8, None))
    with pytest.raises(UsageError, match=r"no feasible setting for Stable.*8 steps, nothing feas"):
        tuner.apply(pipe, source)


def test_of_several_models_of_a_class_the_study_with_the_same_weights_is_used(pipe: Any) -> None:
    source = contents(
        other=study(8, TOME, evaluation={"weights": "another's"}),
        mine=study(8, DEEPCACHE, evaluation=weights(pipe)),
    )
    assert same(expected(pipe, source), expected(pipe, DEEPCACHE))


def test_other_weights_are_refused_and_the_message_names_those_of_the_file(pipe: Any) -> None:
    source = contents(sd21=study(8, DEEPCACHE, evaluation={"weights": "abc"}))
    with pytest.raises(UsageError, match=r"weights .*: sd21 has abc in float32"):
        tuner.apply(pipe, source)


def test_the_message_names_the_parts_whose_weights_count(pipe: Any) -> None:
    source = contents(one=study(8, DEEPCACHE, evaluation=weights(pipe)))
    torch.nn.init.ones_(pipe.vae.decoder.conv_out.weight)
    with pytest.raises(
        UsageError, match=r"\(text_encoder, unet, vae together have the fingerprint \w+ in float32"
    ):
        tuner.apply(pipe, source)


def test_a_study_made_without_the_ip_adapter_is_used_with_a_warning(pipe: Any) -> None:
    source = contents(
        other=study(8, TOME, evaluation={"weights": "another's"}),
        one=study(8, DEEPCACHE, evaluation=weights(pipe)),
    )
    extended = with_ip_adapter("sd")
    assert fingerprint(extended) != fingerprint(pipe)
    with pytest.warns(UserWarning, match="one was measured .* without this pipeline's IP-Adapter"):
        tuner.apply(extended, source)()


def test_the_weights_of_a_replaced_denoiser_are_compared_again(pipe: Any) -> None:
    undo = tuner.apply(pipe, contents(one=study(8, DEEPCACHE, evaluation=weights(pipe))))
    pipe.unet = copy.deepcopy(pipe.unet)
    pictures(pipe)
    pipe.unet = new("sdxl").unet
    with pytest.raises(UsageError, match="no study of this pipeline's weights"):
        pictures(pipe)
    undo()


def test_weights_are_read_once_not_at_each_call(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    undo = tuner.apply(pipe, contents(one=study(8, DEEPCACHE, evaluation=weights(pipe))))
    monkeypatch.setattr(torch.nn.Module, "state_dict", lambda self: pytest.fail("read again"))
    pictures(pipe)
    undo()


def test_weights_in_full_precision_match_a_study_in_half_precision(pipe: Any) -> None:
    half = new("sd").to(torch.float16)
    source = contents(
        other=study(8, TOME, evaluation={"weights": "another's", "dtype": "float16"}),
        mine=study(8, DEEPCACHE, evaluation=weights(half, dtype="float16")),
    )
    assert same(expected(pipe, source), expected(pipe, DEEPCACHE))


def test_a_study_in_a_higher_precision_is_used_with_a_warning() -> None:
    pipe = new_double("sd")
    source = contents(one=study(8, DEEPCACHE, evaluation={"weights": "abc"}))
    with pytest.warns(UserWarning, match="it is unknown whether the weights are the same"):
        tuner.apply(pipe, source)()


def test_the_safety_checker_does_not_count_among_the_weights(pipe: Any) -> None:
    before = fingerprint(pipe)
    pipe.safety_checker = torch.nn.Linear(2, 2)
    assert "safety_checker" in pipe.components
    assert fingerprint(pipe) == before


def test_each_call_uses_the_study_with_its_resolution_and_guidance(pipe: Any) -> None:
    source = contents(
        small=study(8, DEEPCACHE, evaluation=weights(pipe, resolution=16)),
        large=study(8, TOME, evaluation=weights(pipe, resolution=32)),
        strong=study(8, TGATE, evaluation=weights(pipe, resolution=32, guidance=9.0)),
    )
    large = {"height": 32, "width": 32}
    wanted = [
        (expected(pipe, DEEPCACHE), {}),
        (expected(pipe, DEEPCACHE), {"height": None, "width": None}),  # what it was trained on
        (expected(pipe, TOME, **large), large),
        (expected(pipe, TGATE, guidance_scale=9.0, **large), large | {"guidance_scale": 9.0}),
    ]
    with warnings.catch_warnings(), tuner.applied(pipe, source) as generate:
        warnings.simplefilter("error")
        for images, arguments in wanted:
            assert same(pictures(generate, **arguments), images)


def test_a_call_of_a_rectangle_uses_the_study_of_that_rectangle(pipe: Any) -> None:
    source = contents(
        square=study(8, DEEPCACHE, evaluation=weights(pipe, resolution=24)),
        portrait=study(8, TOME, evaluation=weights(pipe, height=32, width=16)),
        landscape=study(8, TGATE, evaluation=weights(pipe, height=16, width=32)),
    )
    portrait, landscape = {"height": 32, "width": 16}, {"height": 16, "width": 32}
    wanted = [
        (expected(pipe, TOME, **portrait), portrait),
        (expected(pipe, TGATE, **landscape), landscape),
    ]
    with tuner.applied(pipe, source) as generate:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for images, arguments in wanted:
                assert same(pictures(generate, **arguments), images)
        with pytest.warns(UserWarning, match="portrait was measured at 16x32 pixels, .* has 16x40"):
            pictures(generate, height=40, width=16)


def test_of_studies_that_fit_the_one_with_the_calls_negative_prompt_is_used(pipe: Any) -> None:
    source = contents(
        plain=study(8, DEEPCACHE, evaluation=weights(pipe)),
        negative=study(8, TOME, evaluation=weights(pipe, negative_prompt="blurry")),
    )
    blurry = {"negative_prompt": ["blurry"] * 2}
    wanted = [(expected(pipe, TOME, **blurry), blurry), (expected(pipe, DEEPCACHE), {})]
    with tuner.applied(pipe, source) as generate:
        for images, arguments in wanted:
            assert same(pictures(generate, **arguments), images)


def test_a_resolution_or_guidance_that_was_not_measured_is_warned_of_once(pipe: Any) -> None:
    undo = tuner.apply(pipe, contents(one=study(8, DEEPCACHE, evaluation=weights(pipe))))
    with pytest.warns(UserWarning, match="measured at 16x16 pixels, but this call has 24x16"):
        pictures(pipe, width=24)
    with pytest.warns(UserWarning, match=r"measured at guidance 7\.5, but this call has 5"):
        pictures(pipe, guidance_scale=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures(pipe, width=24)
        pictures(pipe, guidance_scale=5)
    undo()


def test_two_studies_that_fit_a_call_equally_well_are_refused_unless_they_agree(pipe: Any) -> None:
    source = contents(one=study(8, DEEPCACHE), other=study(8, TOME))
    with (
        tuner.applied(pipe, source) as generate,
        pytest.raises(
            UsageError, match=r"studies one and other fit this call equally well; export only one"
        ),
    ):
        pictures(generate)
    agreed = contents(one=study(8, DEEPCACHE), other=study(8, DEEPCACHE))
    assert same(expected(pipe, agreed), expected(pipe, DEEPCACHE))
