import copy
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler

import tuner
from tests.accelerators.relatives import with_ip_adapter
from tests.pipelines import new, new_double, pictures, same
from tests.report.files import contents, file, study
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


def test_a_file_its_contents_and_a_setting_give_the_same_pictures(
    pipe: Any, tmp_path: Path
) -> None:
    images = expected(pipe, DEEPCACHE)
    whole = file(tmp_path, one=study(8, DEEPCACHE, evaluation=weights(pipe)))
    for source in (Setting.of(DEEPCACHE), whole, contents(one=study(8, DEEPCACHE))):
        assert same(expected(pipe, source), images)
    assert not same(pictures(pipe), images)


def test_apply_accelerates_the_pipeline_itself_until_undone(pipe: Any) -> None:
    before = pictures(pipe)
    images = expected(pipe, TGATE)
    undo = tuner.apply(pipe, TGATE)
    assert same(pictures(pipe), images)
    undo()
    assert same(pictures(pipe), before)


def test_each_call_uses_the_study_with_its_number_of_steps(pipe: Any) -> None:
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


def test_steps_select_a_study_whatever_number_a_call_runs(pipe: Any) -> None:
    source = contents(few=study(6, DEEPCACHE), many=study(8, TGATE))
    images = expected(pipe, DEEPCACHE)
    with tuner.applied(pipe, source, steps=6) as generate:
        assert same(pictures(generate), images)
    with (
        pytest.raises(UsageError, match="no study with 7 steps; the file has 6, 8"),
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
    with pytest.raises(UsageError, match="num_inference_steps must be a whole number from 1"):
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


def test_a_study_with_another_scheduler_or_without_a_feasible_setting_is_not_used(
    pipe: Any,
) -> None:
    source = contents(other=study(8, DEEPCACHE, "UniPC"), nothing=study(8, None))
    with pytest.raises(UsageError, match=r"no feasible study for Stable.*8 steps, nothing feas"):
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
    with pytest.raises(UsageError, match="no study of these weights"):
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
            UsageError, match=r"one and other fit this call equally well; export only one of them"
        ),
    ):
        pictures(generate)
    agreed = contents(one=study(8, DEEPCACHE), other=study(8, DEEPCACHE))
    assert same(expected(pipe, agreed), expected(pipe, DEEPCACHE))


def test_applying_twice_is_refused(pipe: Any) -> None:
    undo = tuner.apply(pipe, DEEPCACHE)
    with pytest.raises(UsageError, match="accelerated already"):
        tuner.apply(pipe, TGATE)
    undo()


def test_a_setting_that_does_not_fit_is_refused_and_leaves_the_pipeline_unchanged(
    pipe: Any,
) -> None:
    deep = {"deepcache": {"cache_interval": 3, "cache_branch_id": 11}}
    pipe.unet.down_blocks = pipe.unet.down_blocks[:2]
    with pytest.raises(UsageError, match="cache_branch_id = 11 does not exist"):
        tuner.apply(pipe, deep)
    tuner.apply(pipe, DEEPCACHE)()


def test_copies_of_an_accelerated_pipeline_are_not_accelerated(pipe: Any) -> None:
    before = pictures(pipe)
    undo = tuner.apply(pipe, DEEPCACHE)
    twin = copy.copy(pipe)
    twin.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    assert same(pictures(twin), before)
    undo()


def test_a_copy_of_an_accelerated_pipeline_can_be_accelerated(pipe: Any) -> None:
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
        (("studies", "one", "best"), {}, r"at studies → one → best: 'params' is a required"),
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
