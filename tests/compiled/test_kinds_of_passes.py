"""Patches for one kind of pass draw the pictures of those that decide step by step.

Compiled functions run uncompiled here, so that the pictures must be the same bit for bit.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.accelerators.cases import Names, another, setting
from tests.helpers.pipelines import new, pictures, same, sd, tiny
from tuner.applying.applied import applied
from tuner.pipelines.step_graphs import graphs_of
from tuner.setting import Setting

COMBINATIONS = [
    *(("deepcache",), ("tome",), ("tgate",), ("deepcache-window",)),
    *(("deepcache", "tome"), ("deepcache", "tgate"), ("tome", "tgate")),
    ("deepcache", "tome", "tgate"),
]
CASES = [
    *((names, "sd") for names in COMBINATIONS),
    *((names, "sdxl") for names in COMBINATIONS[-2:]),
    (("tome", "tgate"), "pixart"),
]
every_case = pytest.mark.parametrize(
    ("names", "family"),
    [pytest.param(*case, id=f"{'+'.join(case[0])}-{case[1]}") for case in CASES],
)
DEEPCACHE = setting(("deepcache",))


@pytest.fixture(autouse=True)
def uncompiled() -> Iterator[None]:
    """Run compiled functions without compiling them."""
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


def compiled(family: str) -> Any:
    """A new pipeline with the weights of `tiny`, whose denoiser is compiled."""
    pipeline = new(family)
    pipeline.scheduler = tiny(family).scheduler
    name = "transformer" if family == "pixart" else "unet"
    setattr(pipeline, name, torch.compile(getattr(pipeline, name)))
    return pipeline


def drawn(pipeline: Any, chosen: Setting, **arguments: Any) -> Any:
    with applied(pipeline, chosen.accelerators, seed=1) as generate:
        return pictures(generate, **arguments)


@every_case
def test_pictures_are_the_same_bit_for_bit(names: Names, family: str) -> None:
    pipeline = compiled(family)
    for chosen in (setting(names), another(names), setting(names)):
        assert same(drawn(pipeline, chosen), drawn(tiny(family), chosen))


@pytest.mark.parametrize(
    "branch",
    [pytest.param(b, marks=[] if b in (0, 5, 11) else [pytest.mark.slow]) for b in range(12)],
)
def test_a_shallow_pass_enters_at_each_skip_branch(branch: int) -> None:
    chosen = Setting.of({"deepcache": {"cache_interval": 3, "cache_branch_id": branch}})
    assert same(drawn(compiled("sd"), chosen), drawn(tiny("sd"), chosen))


@pytest.mark.parametrize("form", ["whole", "in place", "by blocks"])
def test_it_does_not_matter_how_the_denoiser_is_compiled(form: str) -> None:
    pipeline, chosen = sd(), setting(COMBINATIONS[-1])
    if form == "whole":
        pipeline.unet = torch.compile(pipeline.unet)
    elif form == "in place":
        pipeline.unet.compile()
    else:
        pipeline.unet.compile_repeated_blocks()
    plain = pictures(pipeline)
    assert same(drawn(pipeline, chosen), drawn(tiny("sd"), chosen))
    assert same(pictures(pipeline), plain)
    graphs = graphs_of(pipeline.unet)
    assert len(graphs) > 5
    assert same(drawn(pipeline, chosen), drawn(tiny("sd"), chosen))
    assert graphs_of(pipeline.unet) is graphs
    assert same(plain, pictures(tiny("sd")))


def test_a_change_of_the_denoiser_between_calls_is_seen() -> None:
    pipeline, changed = compiled("sd"), sd()
    drawn(pipeline, DEEPCACHE)
    for one_of_both in (pipeline, changed):
        one_of_both.enable_freeu(b1=1.4, b2=1.6, s1=0.9, s2=0.2)
    assert same(drawn(pipeline, DEEPCACHE), drawn(changed, DEEPCACHE))
    pipeline.disable_freeu()
    assert same(drawn(pipeline, DEEPCACHE), drawn(tiny("sd"), DEEPCACHE))


def test_a_change_of_the_denoiser_by_a_callback_is_seen() -> None:
    def freeu_from_step_2(pipeline: Any, step: int, timestep: Any, tensors: Any) -> Any:
        if step == 2:
            pipeline.enable_freeu(b1=1.4, b2=1.6, s1=0.9, s2=0.2)
        return tensors

    with_callback = {"callback_on_step_end": freeu_from_step_2}
    of_compiled = drawn(compiled("sd"), DEEPCACHE, **with_callback)
    assert same(of_compiled, drawn(sd(), DEEPCACHE, **with_callback))


def test_hooks_of_a_compiled_denoiser_run() -> None:
    pipeline = compiled("sd")
    seen = []
    pipeline.unet._orig_mod.register_forward_hook(lambda *_: seen.append(1))
    drawn(pipeline, DEEPCACHE, num_inference_steps=4)
    assert len(seen) == 4


def test_an_accelerator_that_cannot_be_compiled_runs_uncompiled_with_a_warning() -> None:
    pipeline, chosen = (
        compiled("sd"),
        Setting.of({"taylorseer": {"cache_interval": 3, "warmup": 1, "max_order": 1}}),
    )
    with pytest.warns(UserWarning, match=r"taylorseer cannot be compiled: .* uncompiled"):
        of_compiled = drawn(pipeline, chosen)
    assert same(of_compiled, drawn(tiny("sd"), chosen))
