"""Graphs of kinds of passes: kept, shared, and compiled anew instead of running uncompiled."""

import copy
import gc
from collections.abc import Hashable, Sequence
from typing import Any
from weakref import ref

import pytest
import torch
from torch._dynamo import config

from tests.compiled.pipelines import compiled_graphs, small
from tests.helpers.pipelines import pictures, same
from tuner.applying.applied import applied
from tuner.pipelines import step_graphs
from tuner.pipelines.graph_part import GraphPart, Slot
from tuner.pipelines.step_graphs import MOST_KEPT, StepGraphs, graphs_of
from tuner.setting import Setting


class Remembering(GraphPart):
    """Adds the last output to the next one, in passes of the kind True."""

    within_blocks = False

    def __init__(self) -> None:
        self.last: Any = None

    def kind(self, sample: Any) -> bool:
        return self.last is not None

    def patch(self, denoiser: Any, kind: Hashable, idle: set[Any]) -> Sequence[Slot]:
        slot, forward = Slot(), denoiser.forward

        def run(sample: Any) -> Any:
            output = forward(sample)
            if kind:
                output = output + slot.given
            slot.left = output
            return output

        denoiser.forward = run
        return [slot]

    def give(self, kind: Hashable, slots: Sequence[Slot]) -> None:
        slots[0].given = self.last

    def take(self, kind: Hashable, slots: Sequence[Slot]) -> None:
        self.last = slots[0].left

    def reset(self) -> None:
        self.last = None


def layer() -> Any:
    torch.manual_seed(0)
    return torch.compile(torch.nn.Linear(3, 3), backend="eager")


def layers_compiled_one_by_one() -> Any:
    torch.manual_seed(0)
    denoiser = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    for module in denoiser:
        module.compile(backend="eager")
    return denoiser


def passes(graphs: StepGraphs, count: int, rows: int = 2) -> torch.Tensor:
    part, output = Remembering(), torch.ones(rows, 3)
    with torch.no_grad():
        for _ in range(count):
            kind = part.kind(output)
            graph = graphs.of([part], [kind])
            part.give(kind, graph.slots[0])
            output = graph(output)
            part.take(kind, graph.slots[0])
            graph.clear()
    return output


def test_each_kind_of_pass_is_compiled_once_and_kept() -> None:
    denoiser = layer()
    before = compiled_graphs()
    first = passes(graphs_of(denoiser), 4)
    assert compiled_graphs() - before == 2
    assert torch.equal(passes(graphs_of(denoiser), 4), first)
    assert compiled_graphs() - before == 2


@pytest.mark.parametrize("by_block", [False, True])
def test_at_the_limit_of_recompilations_a_kind_is_compiled_anew(
    monkeypatch: pytest.MonkeyPatch, by_block: bool
) -> None:
    monkeypatch.setattr(step_graphs, "MOST_GRAPHS", 1)
    denoiser = layers_compiled_one_by_one() if by_block else layer()
    before = compiled_graphs()
    for graphs, rows in enumerate((2, 5), start=1):
        passes(graphs_of(denoiser), 1, rows)
        assert compiled_graphs() - before == graphs


def test_more_sizes_than_dynamos_own_limit_are_all_compiled() -> None:
    denoiser = torch.compile(torch.nn.Linear(3, 3), backend="eager", dynamic=False)
    before = compiled_graphs()
    sizes = range(2, 2 + config.recompile_limit + 2)
    for rows in sizes:
        passes(graphs_of(denoiser), 1, rows)
    assert compiled_graphs() - before == len(sizes)


def test_blocks_that_are_compiled_one_by_one_share_a_graph() -> None:
    denoiser = layers_compiled_one_by_one()
    before = compiled_graphs()
    first = passes(graphs_of(denoiser), 4)
    assert compiled_graphs() - before == 1
    assert torch.equal(passes(graphs_of(denoiser), 4), first)
    assert compiled_graphs() - before == 1


def test_graphs_are_made_anew_when_a_module_is_exchanged() -> None:
    denoiser = torch.compile(torch.nn.Sequential(torch.nn.Linear(3, 3)), backend="eager")
    graphs = graphs_of(denoiser)
    assert graphs_of(denoiser) is graphs
    denoiser._orig_mod[0] = torch.nn.Linear(3, 3)
    assert graphs_of(denoiser) is not graphs


def test_the_graphs_used_longest_ago_are_discarded() -> None:
    graphs = graphs_of(layer())
    oldest = graphs.of([Remembering()], ["kind 0"])
    for number in range(1, MOST_KEPT + 1):
        graphs.of([Remembering()], [f"kind {number}"])
    assert graphs.of([Remembering()], ["kind 0"]) is not oldest
    assert len(graphs) == MOST_KEPT


def test_a_copy_of_the_denoiser_has_no_graphs_and_the_original_keeps_them() -> None:
    denoiser = torch.nn.Linear(3, 3)
    denoiser.compile(backend="eager")
    graphs = graphs_of(denoiser)
    copied = copy.deepcopy(denoiser)
    assert graphs_of(copied) is not graphs
    assert graphs_of(denoiser) is graphs


def test_graphs_do_not_keep_the_denoiser_alive() -> None:
    denoiser = layer()
    passes(graphs_of(denoiser), 2)
    weights = ref(denoiser._orig_mod.weight)
    del denoiser
    gc.collect()
    assert weights() is None


def test_settings_share_graphs_and_later_calls_compile_nothing() -> None:
    pipeline = small()
    expected = {}
    settings = {
        interval: Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": 0}})
        for interval in (2, 3)
    }
    for interval, setting in settings.items():
        with applied(pipeline, setting.accelerators) as generate:
            expected[interval] = pictures(generate)
    pipeline.unet = torch.compile(pipeline.unet, backend="eager")
    before = compiled_graphs()
    for interval, setting in (*settings.items(), *settings.items()):
        with applied(pipeline, setting.accelerators) as generate:
            assert same(pictures(generate), expected[interval])
        assert compiled_graphs() - before == 2
    assert len(graphs_of(pipeline.unet)) == 2
