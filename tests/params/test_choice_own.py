"""Which study of a file a call of a user's own pipeline uses: by class, scheduler, and call."""

import warnings
from typing import Any

import pytest

import tuner
from tests.helpers.pipelines import same
from tests.helpers.production import make_call, make_pipeline
from tests.helpers.relatives import drawn
from tests.params.files import contents, study
from tests.params.settings import DEEPCACHE, TOME
from tuner.errors import UsageError
from tuner.loading import fingerprint
from tuner.measure.cache_keys import scheduler_parts
from tuner.pipelines.call_arguments import CallArguments


@pytest.fixture
def own() -> Any:
    return make_pipeline()


def call(**changes: Any) -> dict[str, Any]:
    arguments = make_call()
    return arguments | {"image": arguments["image"][0], "negative_prompt": ["blurry"]} | changes


def studied(pipe: Any, params: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A study in a file, measured with a pipeline and a call."""
    config = scheduler_parts(pipe.scheduler)
    evaluation = {
        "weights": fingerprint(pipe),
        "guidance": 3.0,
        "negative_prompt": "blurry",
        "call": CallArguments.of(call(**changes), 1).described(3),
        "scheduler": "00000000",
        "scheduler_options": {name: value for name, value in config.items() if name != "class"},
    }
    entry = study(3, params, evaluation=evaluation)
    return entry | {"pipeline": type(pipe).__name__, "own": {"arguments": {}}}


def pictures(pipe: Any, params: Any = None, **changes: Any) -> Any:
    if params is None:
        return drawn(pipe, **call(**changes))
    with tuner.applied(pipe, params) as generate:
        return drawn(generate, **call(**changes))


def test_a_call_as_measured_gives_no_warning_and_may_have_pictures_of_its_own(own: Any) -> None:
    other = {"image": call()["control_image"]}
    wanted = pictures(own, DEEPCACHE), pictures(own, DEEPCACHE, **other)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*measured at")
        undo = tuner.apply(own, contents(mine=studied(own, DEEPCACHE)))
        assert same(pictures(own), wanted[0])
        assert same(pictures(own, **other), wanted[1])
    undo()


def test_other_weights_and_other_scales_are_used_with_a_warning(own: Any) -> None:
    source = contents(mine=studied(own, DEEPCACHE))
    wanted = pictures(own, DEEPCACHE)
    undo = tuner.apply(own, source)
    own.set_adapters(["poster"], [1.0])
    with pytest.warns(UserWarning, match="mine had other weights than this pipeline, or adapters"):
        assert not same(pictures(own), wanted)
    undo()


def test_another_class_and_another_configuration_of_the_scheduler_are_refused(own: Any) -> None:
    entry = studied(own, DEEPCACHE)
    with pytest.raises(UsageError, match="no feasible setting for StableDiffusionControlNetImg2"):
        tuner.apply(own, contents(other=entry | {"pipeline": "StableDiffusionPipeline"}))
    own.scheduler.register_to_config(beta_end=0.5)
    with pytest.raises(UsageError, match=r"with DDIMScheduler, beta_end=0\.5; its studies: mine"):
        tuner.apply(own, contents(mine=entry))


def test_of_several_calls_the_nearest_is_used_and_what_differs_is_a_warning(own: Any) -> None:
    strong, weak = ({"controlnet_conditioning_scale": scale} for scale in (0.7, 0.2))
    source = contents(strong=studied(own, DEEPCACHE, **strong), weak=studied(own, TOME, **weak))
    wanted = pictures(own, TOME, **weak)
    undo = tuner.apply(own, source)
    assert same(pictures(own, **weak), wanted)
    undo()
    undo = tuner.apply(own, contents(weak=source["studies"]["weak"]))
    with pytest.warns(
        UserWarning, match="weak was .* at controlnet_conditioning_scale 0.2, but this call has"
    ):
        pictures(own)
    undo()
