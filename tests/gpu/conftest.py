"""Tests of what only a GPU shows; they are skipped where there is none."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def needs_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
