"""Second pipelines on the same denoiser, and work in the middle of a call."""

import copy
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

from tests.accelerators.cases import FITTING, setting
from tests.helpers.pipelines import pictures
from tuner.pipelines.denoiser import denoiser_of

DEEPCACHE = setting(("deepcache",))

every_single = pytest.mark.parametrize(  # combinations add nothing new to these tests
    ("names", "family"),
    [
        pytest.param(names, family, id=names[0])
        for names, family in dict(reversed(FITTING)).items()
        if len(names) == 1
    ],
)


def sharing_parts(pipeline: Any) -> Any:
    """Another pipeline with the same parts, except for a scheduler of its own."""
    other = copy.copy(pipeline)
    other.scheduler = copy.deepcopy(pipeline.scheduler)
    return other


def in_a_thread(work: Callable[[], Any]) -> Any:
    results = []
    thread = Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join(timeout=60)
    return results[0]


def in_the_middle(pipeline: Any, generate: Any, work: Callable[[], Any]) -> tuple[Any, Any]:
    """Generate, and call `work` in the middle of the third step; the results of both."""
    results: list[Any] = []
    module = list(denoiser_of(pipeline).children())[-1]  # when it runs, most of a step is done
    calls = 0

    def hook(*args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            results.append(work())

    handle = module.register_forward_pre_hook(hook)
    try:
        return pictures(generate), results[0]
    finally:
        handle.remove()
