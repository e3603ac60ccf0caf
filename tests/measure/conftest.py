"""The bundled miniature, evaluated in small: fixtures of several test files."""

from dataclasses import replace
from pathlib import Path

import pytest

from tuner import registry
from tuner.measure.evaluation import Evaluation
from tuner.measure.extra_metrics import ExtraMetric
from tuner.session import Session
from tuner.spec import StudySpec
from tuner.storage.database import Storage


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Four prompts at four steps on the bundled miniature, in small; a trial times one pair."""
    spec = StudySpec(pipe="miniature", steps=4, num_samples=4, batch_size=2, resolution=32)
    return replace(Session().evaluation(spec), timing_pairs=1, most_pairs=1)


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    return Storage(f"sqlite:///{tmp_path / 'tuner.db'}")


@pytest.fixture(scope="module")
def compared(evaluation: Evaluation) -> Evaluation:
    """With extra metrics: two comparisons, and the scorer once more as a reward."""
    known = registry.components("metrics")
    reward = ExtraMetric(component=known["clip"], metric=evaluation.metric)
    others = (ExtraMetric(component=known[name], metric=known[name](device="cpu"))
              for name in ("psnr", "ssim"))  # fmt: skip
    return replace(evaluation, extra_metrics=(reward, *others))
