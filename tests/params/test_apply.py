import copy
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler

import tuner
from tests.helpers.pipelines import new, new_double, pictures, same
from tests.helpers.relatives import with_ip_adapter
from tests.params.files import contents, file, study
from tuner.errors import UsageError
from tuner.loading import fingerprint
from tuner.params.read import read
from tuner.schedulers import set_scheduler
from tuner.setting import Setting

DEEPCACHE = {"deepcache": {"cache_interval": 3, "cache_branch_id": 0}}
TGATE = {"tgate": {"gate_step": 5, "sp_interval": 2, "fi_interval": 1, "warmup": 1}}
TOME = {"tome": {"ratio": 0.5, "max_downsample": 1}}


@pytest.fixture
def pipe() -> Any:
    pipeline = new("sd")
    set_scheduler(pipeline, "DDIM")
    return pipeline


def expected(pipe: Any, params: Any, **arguments: Any) -> Any:
    with tuner.applied(pipe, params) as generate:
        return pictures(generate, **arguments)


def weights(pipe: Any, **others: Any) -> dict[str, Any]:
    return {"weights": fingerprint(pipe)} | others


def test_a_file_a_mapping_and_a_setting_give_the_same_pictures(pipe: Any, tmp_path: Path) -> None:
    found = expected(pipe, DEEPCACHE)
    whole = file(tmp_path, one=study(8, DEEPCACHE, evaluation=weights(pipe)))
    for source in (Setting.of(DEEPCACHE), whole, contents(one=study(8, DEEPCACHE))):
        assert same(expected(pipe, source), found)
    assert not same(pictures(pipe), found)


def test_applied_for_good_the_pipeline_itself_is_accelerated_until_undone(pipe: Any) -> None:
    before = pictures(pipe)
    found = expected(pipe, TGATE)
    undo = tuner.apply(pipe, TGATE)
    assert same(pictures(pipe), found)
    undo()
    assert same(pictures(pipe), before)


def test_each_call_uses_the_study_of_its_own_number_of_steps(pipe: Any) -> None:
    source = contents(few=study(6, DEEPCACHE), many=study(8, TGATE))
    wanted = {
        steps: expected(pipe, params, num_inference_steps=steps)
        for steps, params in ((6, DEEPCACHE), (8, TGATE))
    }
    with tuner.applied(pipe, source) as generate:
        for steps in (8, 6, 8):
            assert same(pictures(generate, num_inference_steps=steps), wanted[steps])
        with pytest.raises(UsageError, match="no study with 7 steps; the file has 6, 8"):
            pictures(pipe, num_inference_steps=7)


def test_a_study_may_be_asked_for_by_its_steps_whatever_a_call_takes(pipe: Any) -> None:
    source = contents(few=study(6, DEEPCACHE), many=study(8, TGATE))
    found = expected(pipe, DEEPCACHE)
    with tuner.applied(pipe, source, steps=6) as generate:
        assert same(pictures(generate), found)
    with (
        pytest.raises(UsageError, match="no study with 7 steps; the file has 6, 8"),
        tuner.applied(pipe, source, steps=7),
    ):
        pass


def test_a_calls_own_timesteps_or_sigmas_are_its_number_of_steps() -> None:
    pipe = new("sd")
    set_scheduler(pipe, "DPM-Solver++")
    own = {"timesteps": [900, 700, 500, 300, 100, 10], "num_inference_steps": 50}
    found = expected(pipe, DEEPCACHE, **own)
    undo = tuner.apply(pipe, contents(six=study(6, DEEPCACHE, "DPM-Solver++")))
    assert same(pictures(pipe, **own), found)
    own["num_inference_steps"] = None
    assert same(pictures(pipe, **own), found)
    with pytest.raises(UsageError, match="no study with 5 steps"):
        pictures(pipe, timesteps=own["timesteps"][1:])
    undo()


@pytest.mark.parametrize("steps", [None, 0, -3, "8", True, 8.5])
def test_what_is_no_number_of_steps_is_refused_in_one_line(pipe: Any, steps: Any) -> None:
    undo = tuner.apply(pipe, DEEPCACHE)
    with pytest.raises(UsageError, match="num_inference_steps must be a whole number from 1"):
        pictures(pipe, num_inference_steps=steps)
    undo()


def test_each_call_uses_the_study_of_the_scheduler_that_is_there(pipe: Any) -> None:
    source = contents(ddim=study(8, DEEPCACHE), unipc=study(8, TOME, "UniPC"))
    undo = tuner.apply(pipe, source)
    set_scheduler(pipe, "UniPC")
    found = pictures(pipe)
    set_scheduler(pipe, "DPM-Solver++")
    with pytest.raises(UsageError, match=r"with DPMSolverMultistepScheduler; .* ddim .*DDIM, 8"):
        pictures(pipe)
    undo()
    set_scheduler(pipe, "UniPC")
    assert same(found, expected(pipe, TOME))


def test_a_study_of_another_scheduler_or_with_nothing_feasible_is_not_used(pipe: Any) -> None:
    source = contents(other=study(8, DEEPCACHE, "UniPC"), nothing=study(8, None))
    with pytest.raises(UsageError, match=r"no feasible study for Stable.*8 steps, nothing feas"):
        tuner.apply(pipe, source)


def test_of_several_models_of_a_class_the_study_of_these_weights_is_used(pipe: Any) -> None:
    source = contents(
        other=study(8, TOME, evaluation={"weights": "another's"}),
        mine=study(8, DEEPCACHE, evaluation=weights(pipe)),
    )
    assert same(expected(pipe, source), expected(pipe, DEEPCACHE))


def test_other_weights_are_refused_and_the_line_says_which_the_file_has(pipe: Any) -> None:
    source = contents(sd21=study(8, DEEPCACHE, evaluation={"weights": "abc"}))
    with pytest.raises(UsageError, match=r"weights .*: sd21 is of abc in float32"):
        tuner.apply(pipe, source)


def test_the_line_names_the_parts_whose_weights_count(pipe: Any) -> None:
    source = contents(one=study(8, DEEPCACHE, evaluation=weights(pipe)))
    torch.nn.init.ones_(pipe.vae.decoder.conv_out.weight)
    with pytest.raises(UsageError, match=r"\(text_encoder, unet, vae together are \w+ in float32"):
        tuner.apply(pipe, source)


def test_a_study_from_before_an_ip_adapter_was_loaded_is_used_with_a_warning(pipe: Any) -> None:
    source = contents(
        other=study(8, TOME, evaluation={"weights": "another's"}),
        one=study(8, DEEPCACHE, evaluation=weights(pipe)),
    )
    extended = with_ip_adapter("sd")
    assert fingerprint(extended) != fingerprint(pipe)
    with pytest.warns(UserWarning, match="one was measured .* without the IP-Adapter"):
        tuner.apply(extended, source)()


def test_a_denoiser_that_was_exchanged_since_is_looked_at_again(pipe: Any) -> None:
    undo = tuner.apply(pipe, contents(one=study(8, DEEPCACHE, evaluation=weights(pipe))))
    pipe.unet = copy.deepcopy(pipe.unet)
    pictures(pipe)
    pipe.unet = new("sdxl").unet
    with pytest.raises(UsageError, match="no study of these weights"):
        pictures(pipe)
    undo()


def test_weights_are_read_once_and_not_at_each_call(
    pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    undo = tuner.apply(pipe, contents(one=study(8, DEEPCACHE, evaluation=weights(pipe))))
    monkeypatch.setattr(torch.nn.Module, "state_dict", lambda self: pytest.fail("read again"))
    pictures(pipe)
    undo()


def test_weights_that_were_measured_in_half_precision_are_known_in_whole(pipe: Any) -> None:
    half = new("sd").to(torch.float16)
    source = contents(
        other=study(8, TOME, evaluation={"weights": "another's", "dtype": "float16"}),
        mine=study(8, DEEPCACHE, evaluation=weights(half, dtype="float16")),
    )
    assert same(expected(pipe, source), expected(pipe, DEEPCACHE))


def test_weights_that_were_measured_in_a_higher_precision_are_warned_of() -> None:
    pipe = new_double("sd")
    source = contents(one=study(8, DEEPCACHE, evaluation={"weights": "abc"}))
    with pytest.warns(UserWarning, match="whether it has the same weights cannot be told"):
        tuner.apply(pipe, source)()


def test_the_safety_checker_is_no_part_of_the_weights(pipe: Any) -> None:
    before = fingerprint(pipe)
    pipe.safety_checker = torch.nn.Linear(2, 2)
    assert "safety_checker" in pipe.components
    assert fingerprint(pipe) == before


def test_each_call_uses_the_study_of_its_resolution_and_guidance(pipe: Any) -> None:
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
        for found, arguments in wanted:
            assert same(pictures(generate, **arguments), found)


def test_another_resolution_or_guidance_than_the_measured_is_warned_of_once(pipe: Any) -> None:
    undo = tuner.apply(pipe, contents(one=study(8, DEEPCACHE, evaluation=weights(pipe))))
    with pytest.warns(UserWarning, match="measured at 16x16 pixels, and this call is of 24x16"):
        pictures(pipe, width=24)
    with pytest.warns(UserWarning, match=r"measured at guidance 7\.5, and this call has 5"):
        pictures(pipe, guidance_scale=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures(pipe, width=24)
        pictures(pipe, guidance_scale=5)
    undo()


def test_two_studies_that_fit_a_call_alike_are_refused_unless_they_agree(pipe: Any) -> None:
    source = contents(one=study(8, DEEPCACHE), other=study(8, TOME))
    with (
        tuner.applied(pipe, source) as generate,
        pytest.raises(UsageError, match=r"one and other fit this call alike: .*--study"),
    ):
        pictures(generate)
    agreed = contents(one=study(8, DEEPCACHE), other=study(8, DEEPCACHE))
    assert same(expected(pipe, agreed), expected(pipe, DEEPCACHE))


def test_applying_for_good_twice_is_refused(pipe: Any) -> None:
    undo = tuner.apply(pipe, DEEPCACHE)
    with pytest.raises(UsageError, match="accelerated already"):
        tuner.apply(pipe, TGATE)
    undo()


def test_what_does_not_fit_is_told_when_it_is_applied_and_leaves_nothing(pipe: Any) -> None:
    deep = {"deepcache": {"cache_interval": 3, "cache_branch_id": 11}}
    pipe.unet.down_blocks = pipe.unet.down_blocks[:2]
    with pytest.raises(UsageError, match="cache_branch_id = 11 does not exist"):
        tuner.apply(pipe, deep)
    tuner.apply(pipe, DEEPCACHE)()


def test_copies_of_an_accelerated_pipeline_are_plain(pipe: Any) -> None:
    before = pictures(pipe)
    undo = tuner.apply(pipe, DEEPCACHE)
    twin = copy.copy(pipe)
    twin.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    assert same(pictures(twin), before)
    undo()


def test_a_copy_of_an_accelerated_pipeline_can_be_accelerated_itself(pipe: Any) -> None:
    before, wanted, wanted_of_copy = (
        pictures(pipe),
        expected(pipe, TGATE),
        expected(pipe, DEEPCACHE),
    )
    undo = tuner.apply(pipe, TGATE)
    twin = copy.copy(pipe)
    undo_copy = tuner.apply(twin, DEEPCACHE)
    assert same(pictures(twin), wanted_of_copy)
    assert same(pictures(pipe), wanted)
    with pytest.raises(UsageError, match="accelerated already"):
        tuner.apply(twin, TGATE)
    undo()
    assert same(pictures(twin), wanted_of_copy)
    undo_copy()
    assert same(pictures(twin), before)


@pytest.mark.parametrize("source", [{"deepcache": 3}, {"deepcache": None}, 7, {"schema": 1}])
def test_what_is_neither_a_setting_nor_a_file_is_refused_in_one_line(
    pipe: Any, source: Any
) -> None:
    with pytest.raises(UsageError) as caught:
        tuner.apply(pipe, source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 2, "studies": {}}'])
def test_a_file_of_another_kind_is_refused_in_one_line(
    pipe: Any, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "search_params.json"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        tuner.apply(pipe, path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ((), {"schema": 1}, r"at the top: 'studies' is a required property"),
        (("studies", "one", "steps"), "ten", r"at studies → one → steps: 'ten' is not of type"),
        (("studies", "one", "sched"), "DIM", r"studies → one → sched: unknown scheduler 'DIM'"),
        (("studies", "one", "best"), {}, r"at studies → one → best: 'params' is a required"),
        (("studies", "one", "best", "params"), {"tome": 3}, r"best → params → tome: 3 is not of"),
        (("studies", "one", "evaluation"), {}, r"→ evaluation: 'weights' is a required property"),
        (("studies", "one", "goal"), None, r"studies → one → goal: None is not of type 'object'"),
    ],
)
def test_a_malformed_file_is_refused_with_the_part_that_is_wrong(
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


def test_a_file_from_before_some_figures_were_written_is_read(tmp_path: Path) -> None:
    old = study(8, DEEPCACHE, evaluation={})
    for name in ("fidelity", "certainty", "memory_gib", "host_memory_gib"):
        del old["best"][name]
    del old["goal"]["limits"], old["baseline"]["memory_gib"], old["baseline"]["host_memory_gib"]
    found = read(file(tmp_path, one=old))["studies"]["one"]
    assert (found["best"]["fidelity"], found["goal"]["limits"]) == ({}, {})
