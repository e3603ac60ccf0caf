"""What every test needs."""

import tempfile
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

# Two threads that wait for each other beside a busy neighbour are twenty times slower than one.
torch.set_num_threads(1)
# How long an example takes says more about the neighbours than about the code.
settings.register_profile("tuner", deadline=None)
settings.load_profile("tuner")


@pytest.fixture(scope="session", autouse=True)
def own_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A temporary folder of the tests' own: they neither wait for a run beside them nor stop it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        patch.setattr(tempfile, "tempdir", None)
        yield
