"""The plan agrees with what is computed, for every combination on every family."""

import re
from typing import Any

import pytest

from tests.accelerators.cases import DECIDE_BY_THE_PICTURE, Names, every_fitting, setting
from tests.helpers.pipelines import FAMILIES, LATENT_SIDE, PROMPTS, STEPS, pictures, tiny
from tuner.applying.applied import applied
from tuner.pipelines.denoiser import denoiser_of
from tuner.plans.plan import plan_of, shape_of

FIRST = ("conv_in", "x_embedder", "pos_embed")  # names of a denoiser's first module
WITHOUT_A_SECOND_PASS = {"flux"}  # its guidance is an input


class Computed:
    """By step: how many self- and cross-attentions are computed, and the rows of the batch."""

    def __init__(self, pipeline: Any) -> None:
        denoiser = denoiser_of(pipeline)
        self.attentions: list[list[int]] = []
        self.rows: list[int] = []
        first = next(getattr(denoiser, name) for name in FIRST if hasattr(denoiser, name))
        self.handles = [
            denoiser.register_forward_pre_hook(self.begin),
            first.register_forward_pre_hook(self.count_rows),
        ]
        for name, module in denoiser.named_modules():
            kind = re.fullmatch(r".*transformer_blocks\.\d+\.attn([12]?)\.to_q", name)
            if kind:
                self.handles.append(module.register_forward_hook(self.counter_of(kind[1] == "2")))

    def begin(self, module: Any, args: Any) -> None:
        self.rows.append(0)
        self.attentions.append([0, 0])

    def count_rows(self, module: Any, args: Any) -> None:
        self.rows[-1] += len(args[0])

    def counter_of(self, kind: bool) -> Any:
        def count(module: Any, args: Any, output: Any) -> None:
            self.attentions[-1][kind] += 1

        return count

    def __enter__(self) -> "Computed":
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()


@every_fitting
def test_as_many_attentions_are_computed_at_each_step_as_the_plan_says(
    names: Names, family: str
) -> None:
    pipeline = tiny(family)
    accelerators = setting(names).accelerators
    with Computed(pipeline) as computed, applied(pipeline, accelerators) as generate:
        pictures(generate, PROMPTS[:1])
    plan = plan_of(accelerators, shape_of(pipeline, 2 * LATENT_SIDE), STEPS)
    planned = [
        [source.count(number) for source in (step.self_source, step.cross_source)]
        for number, step in enumerate(plan.steps)
    ]
    if DECIDE_BY_THE_PICTURE & set(names):
        rows = max(computed.rows)
        total = sum(map(sum, planned)) * rows
        assert total / 4 < sum(map(sum, computed.attentions)) < total
    else:
        assert computed.attentions == planned
    passes = 1 if family in WITHOUT_A_SECOND_PASS else 2
    assert computed.rows == [passes if step.guided else 1 for step in plan.steps]


@pytest.mark.parametrize("family", FAMILIES)
def test_without_accelerators_the_plan_computes_everything(family: str) -> None:
    pipeline = tiny(family)
    with Computed(pipeline) as computed:
        pictures(pipeline, PROMPTS[:1])
    layers = shape_of(pipeline, 2 * LATENT_SIDE).layers
    cross = [layer for layer in layers if layer.cross]
    assert computed.attentions == [[len(layers), len(cross)]] * STEPS
