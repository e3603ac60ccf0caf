"""Compiled by inductor: the pictures, the number of graphs, and no recompilation."""

import shutil
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from tests.accelerators.cases import Names, setting
from tests.compiled.pipelines import compiled_graphs, small
from tests.helpers.pipelines import pictures
from tuner.applying.applied import applied

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("g++") is None,
        reason="torch.compile needs a C++ compiler on a CPU; g++ of Debian's package g++ is one",
    ),
]

# The most kinds of passes that a setting can have: full and shallow; merged; before the gate
# computed or reused, at the gate, and after it computed or reused. A reused attention at a full
# pass may have been stored at a shallow one.
KINDS = {
    ("deepcache",): 2,
    ("tome",): 1,
    ("tgate",): 5,
    ("deepcache", "tome"): 2,
    ("deepcache", "tgate"): 10,
    ("tome", "tgate"): 5,
    ("deepcache", "tome", "tgate"): 10,
}


@cache
def pipelines() -> tuple[Any, Any]:
    """Two with the same weights; the second one is compiled."""
    compiled = small()
    compiled.unet = torch.compile(compiled.unet)
    return small(), compiled


@pytest.mark.parametrize("names", KINDS, ids="+".join)
def test_compiled_pictures_are_those_of_eager(names: Names) -> None:
    eager, compiled = pipelines()
    chosen = setting(names).accelerators
    with applied(eager, chosen) as generate:
        expected = pictures(generate)
    before = compiled_graphs()
    with applied(compiled, chosen) as generate:
        first = pictures(generate)
        graphs = compiled_graphs() - before
        second = pictures(generate)
    with applied(compiled, chosen) as generate:
        again = pictures(generate)
    assert np.abs(first - expected).max() < 1e-4
    assert np.array_equal(first, second)
    assert np.array_equal(first, again)
    assert 1 <= graphs <= KINDS[names]
    assert compiled_graphs() - before == graphs, "something was compiled after the first call"


def test_blocks_that_are_compiled_one_by_one_share_their_graphs() -> None:
    eager, _ = pipelines()
    compiled = small()
    compiled.unet.compile_repeated_blocks()
    chosen = setting(("deepcache", "tome", "tgate")).accelerators
    with applied(eager, chosen) as generate:
        expected = pictures(generate)
    with applied(compiled, chosen) as generate:
        first = pictures(generate)
        before = compiled_graphs()
        second = pictures(generate)
    assert np.abs(first - expected).max() < 1e-4
    assert np.array_equal(first, second)
    assert compiled_graphs() == before
