"""Changes to a denoiser by other code: hooks that keep working, and what is refused and why."""

from collections.abc import Callable
from typing import Any

import accelerate
import pytest
import torch

import tuner
from tests.accelerators.cases import accelerated, every_accelerator, fits, neutral, setting
from tests.helpers.pipelines import FAMILIES, SCHEDULERS_OF, new, pictures, same
from tuner.applying.applied import applied
from tuner.errors import UsageError
from tuner.pipelines.denoiser import denoiser_of
from tuner.schedulers import set_scheduler

CPU = torch.device("cpu")


def offloaded(pipeline: Any) -> None:
    pipeline.enable_model_cpu_offload(device="cpu")


def dispatched(pipeline: Any) -> None:
    accelerate.dispatch_model(denoiser_of(pipeline), {"": "cpu"}, force_hooks=True)


def hooked_at_each_leaf(pipeline: Any) -> None:
    for module in denoiser_of(pipeline).modules():
        if not list(module.children()):
            accelerate.hooks.add_hook_to_module(module, accelerate.hooks.AlignDevicesHook("cpu"))


def offloaded_by_groups(pipeline: Any) -> None:
    denoiser_of(pipeline).enable_group_offload(
        onload_device=CPU, offload_device=CPU, offload_type="leaf_level"
    )


def cast(pipeline: Any) -> None:
    denoiser_of(pipeline).enable_layerwise_casting(
        storage_dtype=torch.bfloat16, compute_dtype=torch.float32
    )


MOVED = (offloaded, dispatched, hooked_at_each_leaf, offloaded_by_groups)


def own(name: str) -> tuple[str, Any]:
    """The first family that an accelerator fits, and a pipeline of it."""
    family = next(candidate for candidate in FAMILIES if fits((name,), candidate))
    pipeline = new(family)
    set_scheduler(pipeline, SCHEDULERS_OF[family][0])
    return family, pipeline


def forwards(pipeline: Any) -> dict[str, Any]:
    return {k: vars(m).get("forward") for k, m in denoiser_of(pipeline).named_modules()}


@pytest.mark.parametrize("way", MOVED)
@every_accelerator
def test_hooks_that_move_weights_keep_working_with_an_accelerator(
    name: str, way: Callable[[Any], None]
) -> None:
    family, pipeline = own(name)
    with applied(pipeline, setting((name,)).accelerators) as generate:
        way(pipeline)  # accelerated first, offloaded second: the usual advice
        before = forwards(pipeline)
        assert same(pictures(generate), accelerated(family, (name,)))
        after = forwards(pipeline)
    if way is offloaded:  # the pipeline attaches a new hook after each call
        assert type(after.pop("")) is type(before.pop(""))
    assert after == before


@every_accelerator
def test_layerwise_casting_keeps_working_with_an_accelerator(name: str) -> None:
    _, pipeline = own(name)
    cast(pipeline)
    expected = pictures(pipeline)
    with applied(pipeline, neutral((name,)).accelerators) as generate:
        assert same(pictures(generate), expected)
    with applied(pipeline, setting((name,)).accelerators) as generate:
        assert not same(pictures(generate), expected)
    assert same(pictures(pipeline), expected)


def test_a_cache_of_diffusers_is_refused_by_its_name() -> None:
    from diffusers import TaylorSeerCacheConfig, apply_taylorseer_cache

    pipeline = new("sd3")
    apply_taylorseer_cache(pipeline.transformer, TaylorSeerCacheConfig(cache_interval=3))
    refused(pipeline, "diffusers' hook 'taylorseer_cache'", "taylorseer")


def test_an_unknown_forward_is_refused_and_the_message_names_its_module() -> None:
    pipeline = new("sd")
    plain = pipeline.unet.mid_block.forward
    pipeline.unet.mid_block.forward = lambda *args, **kwargs: plain(*args, **kwargs)
    refused(
        pipeline,
        "forward of mid_block was replaced by an unknown one from tests.pipelines.test_fore",
    )


def refused(pipeline: Any, words: str, name: str = "tome") -> None:
    with pytest.raises(UsageError, match=words) as caught:
        tuner.apply(pipeline, setting((name,)))
    assert "\n" not in str(caught.value)
    assert "accelerated already" not in str(caught.value) or "diffusers" in words
    tuner.apply(pipeline, setting(()))()  # and none of our changes is left


class Broken(BaseException):
    """Like Ctrl-C, no `Exception`."""


@pytest.mark.parametrize("at", [0, 1, 3])
@every_accelerator
def test_an_exception_while_an_accelerator_is_applied_leaves_nothing_behind(
    name: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The n-th module that is given a forward or a hook raises; so does the n-th of a call."""
    family, pipeline = own(name)
    expected = pictures(pipeline)
    before = {k: set(vars(m)) for k, m in denoiser_of(pipeline).named_modules()}
    count = 0

    def counted(function: Any) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count > at:
                raise Broken
            return function(*args, **kwargs)

        return called

    def breaking(patch: pytest.MonkeyPatch) -> None:
        nonlocal count
        count = 0
        plain = torch.nn.Module.__setattr__
        raising = counted(plain)

        def set_attribute(module: Any, key: str, value: Any) -> None:
            (raising if key == "forward" else plain)(module, key, value)

        patch.setattr(torch.nn.Module, "__setattr__", set_attribute)
        if name == "tome":
            hook = torch.nn.Module.register_forward_pre_hook
            patch.setattr(torch.nn.Module, "register_forward_pre_hook", counted(hook))

    with monkeypatch.context() as patch:
        breaking(patch)
        with pytest.raises(Broken):
            tuner.apply(pipeline, setting((name,)))
    undo = tuner.apply(pipeline, setting((name,)), seed=0)
    with monkeypatch.context() as patch:
        breaking(patch)
        with pytest.raises(Broken):
            pictures(pipeline)
    assert same(pictures(pipeline), accelerated(family, (name,)))
    undo()
    assert {k: set(vars(m)) for k, m in denoiser_of(pipeline).named_modules()} == before
    assert same(pictures(pipeline), expected)


def test_sequential_offload_to_the_cpu_which_fails_in_accelerate_is_refused_in_one_line() -> None:
    pipeline = new("sd")
    undo = tuner.apply(pipeline, setting(("tome",)))
    pipeline.enable_sequential_cpu_offload(device="cpu")
    with pytest.raises(UsageError, match="with which accelerate fails, with or without the tuner"):
        pictures(pipeline)
    undo()
    with pytest.raises(TypeError):  # if this works one day, the refusal has to go
        pictures(pipeline)
