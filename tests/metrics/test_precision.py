"""Scoring in half precision, and on another device than the pipeline's: scores and identities."""

from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw

from tuner import registry
from tuner.errors import UsageError
from tuner.loading import model_named
from tuner.metrics import MetricKind
from tuner.metrics._load import dtype_on, loading
from tuner.metrics.clip import ClipScore
from tuner.session import Session
from tuner.spec import StudySpec

OPTIONS = model_named("miniature").metric_options
PROMPTS = ["a red circle", "a large blue ring above a small green square", "a triangle"]
GPU = "cuda:0"


def pictures() -> list[Any]:
    """A circle of another size and colour in each picture."""
    images = []
    for number, colour in enumerate(("red", "blue", "green")):
        image = Image.new("RGB", (64, 64), "white")
        ImageDraw.Draw(image).ellipse((8, 8, 24 + 16 * number, 24 + 16 * number), fill=colour)
        images.append(image)
    return images


def test_large_networks_compute_in_half_precision_on_cuda_only() -> None:
    assert [dtype_on(device) for device in ("cuda", GPU)] == [torch.float16] * 2
    assert [dtype_on(device) for device in ("cpu", "mps")] == [torch.float32] * 2


def test_clip_in_half_precision_has_nearly_the_same_scores_and_names_the_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    single = ClipScore(device="cpu", **OPTIONS)
    monkeypatch.setattr("tuner.metrics.clip.dtype_on", lambda device: torch.float16)
    half = ClipScore(device="cpu", **OPTIONS)
    assert {parameter.dtype for parameter in half._model.parameters()} == {torch.float16}
    scores = half.score(pictures(), PROMPTS)
    assert scores == pytest.approx(single.score(pictures(), PROMPTS), abs=0.1)
    # More digits than half precision has, because the cosine is computed in single precision.
    assert any(score != torch.tensor(score).half().item() for score in scores)
    assert half.identity == f"{single.identity} float16"
    assert half.choose(pictures()[0], PROMPTS) == single.choose(pictures()[0], PROMPTS)


@pytest.mark.parametrize("name", ["clip", "ssim", "psnr"])
def test_a_metric_on_the_pipelines_kind_of_device_has_the_identity_it_always_had(name: str) -> None:
    kind, options = registry.get("metrics", name), OPTIONS if name == "clip" else {}
    identity = kind(device="cpu", **options).identity
    assert kind(device="cpu", pictures_from="cpu", **options).identity == identity
    assert identity.split()[0] == name
    assert "float" not in identity and " on " not in identity


def test_a_metric_on_another_kind_of_device_than_the_pipeline_names_its_own() -> None:
    class Reward:
        identity = "reward"

    kind = MetricKind(name="reward", load=lambda device: Reward())
    assert kind(device="cpu", pictures_from=GPU).identity == "reward on cpu"
    assert kind(device=GPU, pictures_from="cpu").identity == "reward on cuda"
    assert kind(device="cuda:1", pictures_from=GPU).identity == "reward"


class Recorded(Session):
    """Records which metrics are loaded for which devices."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[tuple[str, str, str]] = []

    def _metric(self, name: str, device: str, pictures_from: str, options: dict[str, str]) -> Any:
        self.loaded.append((name, device, pictures_from))
        return super()._metric(name, "cpu", "cpu", options)


def test_the_score_and_the_extra_metrics_are_loaded_on_the_scorer_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session, small = Recorded(), {"pipe": "miniature", "num_samples": 2, "metrics": ("ssim",)}
    first = session.evaluation(StudySpec(device="cpu", **small))
    assert session.loaded == [("clip", "cpu", "cpu"), ("ssim", "cpu", "cpu")]
    same = session.evaluation(StudySpec(device="cpu", scorer_device="cpu", **small))
    assert same.score_parts == first.score_parts
    assert same.metric is first.metric
    session.loaded.clear()
    named = {"cpu": "cpu", "cuda": GPU}
    monkeypatch.setattr("tuner.session.device_named", lambda text, what="device": named[text])
    session.evaluation(StudySpec(device="cpu", scorer_device="cuda", **small))
    assert session.loaded == [("clip", GPU, "cpu"), ("ssim", GPU, "cpu")]


def test_a_device_that_is_too_small_for_a_metric_is_an_error_that_names_another_device() -> None:
    with pytest.raises(UsageError) as caught, loading("clip", "connect to the hub"):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2.00 GiB")
    assert str(caught.value) == (
        "cannot load clip: the device is out of memory; scorer_device = cpu uses the host's"
    )
