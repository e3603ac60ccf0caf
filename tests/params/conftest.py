"""A pipeline to apply files to."""

from typing import Any

import pytest

from tests.helpers.pipelines import new
from tuner.schedulers import set_scheduler


@pytest.fixture
def pipe() -> Any:
    pipeline = new("sd")
    set_scheduler(pipeline, "DDIM")
    return pipeline
