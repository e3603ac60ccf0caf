"""A world of DeepCache and ToMe."""

from copy import copy

import numpy as np
import pytest

from tests.search.frontier.world import World


@pytest.fixture(scope="module")
def prepared() -> World:
    """DeepCache and ToMe: 424 distinct settings."""
    return World("deepcache", "tome")


@pytest.fixture
def world(prepared: World) -> World:
    """The same with its own random generator, so that the tests do not depend on their order."""
    world = copy(prepared)
    world.random = np.random.default_rng(0)
    return world
