"""Scoring on a GPU: half precision, its identity, and memory that is not the pipeline's."""

import gc
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.gpu.pipelines import DEVICE, Brightness, evaluation_of
from tests.metrics.test_precision import OPTIONS, PROMPTS, pictures
from tests.runs.study import spec
from tuner.measure.baseline_store import InMemoryStore
from tuner.measure.scorer_memory import memory_notice, scorer_bytes
from tuner.metrics.clip import ClipScore
from tuner.session import Session

pytestmark = pytest.mark.gpu

LARGE = {"model": "ViT-B-32", "pretrained": ""}  # random weights


@pytest.mark.parametrize("options", [OPTIONS, LARGE], ids=["miniature", "ViT-B-32"])
def test_scores_of_the_gpu_in_half_precision_are_close_to_those_in_single_precision(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    half = ClipScore(device=DEVICE, **options)
    kinds = {(tensor.device.type, tensor.dtype) for tensor in half._model.parameters()}
    assert kinds == {("cuda", torch.float16)}
    scores = half.score(pictures(), PROMPTS)
    half._model.float()
    half._dtype = torch.float32
    assert scores == pytest.approx(half.score(pictures(), PROMPTS), abs=0.2)


def test_the_identity_has_the_weights_as_a_cpu_has_them_and_the_precision() -> None:
    on_gpu, on_cpu = (ClipScore(device=device, **OPTIONS) for device in (DEVICE, "cpu"))
    assert on_gpu.identity == f"{on_cpu.identity} float16"


def test_loading_a_clip_allocates_the_bytes_that_a_run_prints() -> None:
    gc.collect()  # or what other tests left would be freed while this one measures
    before = torch.cuda.memory_allocated(DEVICE)
    torch.cuda.reset_peak_memory_stats(DEVICE)
    metric = ClipScore(device=DEVICE, **LARGE)
    weights = scorer_bytes(metric, (), DEVICE)
    assert torch.cuda.memory_allocated(DEVICE) - before == pytest.approx(weights, rel=0.01)
    assert torch.cuda.max_memory_allocated(DEVICE) - before == pytest.approx(weights, rel=0.01)
    line = memory_notice(weights, DEVICE)
    assert line == "scorer: 0.3 GiB of the device's memory; scorer_device = cpu frees it"


def test_a_study_on_the_gpu_scores_in_half_precision_there_or_on_the_cpu(tmp_path: Path) -> None:
    on_gpu, on_cpu = (
        Session().evaluation(spec(tmp_path, device="cuda", metrics=("ssim",), **changes))
        for changes in ({}, {"scorer_device": "cpu"})
    )
    assert on_gpu.metric.identity.endswith(" float16")
    assert on_cpu.metric.identity == f"{on_gpu.metric.identity.removesuffix(' float16')} on cpu"
    assert on_gpu.extra_metrics[0].metric.identity == "ssim"
    assert on_cpu.extra_metrics[0].metric.identity == "ssim on cpu"
    assert on_gpu.latency_parts == on_cpu.latency_parts
    assert scorer_bytes(on_gpu.metric, on_gpu.extra_metrics, DEVICE) > 0
    assert scorer_bytes(on_cpu.metric, on_cpu.extra_metrics, DEVICE) == 0


class Large(Brightness):
    """A metric with a network of 1 GiB on the GPU."""

    def __init__(self) -> None:
        self.network = torch.nn.Linear(2**14, 2**14, bias=False, device=DEVICE)


def test_the_peak_memory_is_without_the_scorers_weights() -> None:
    peaks: list[Any] = []
    for kind in (Brightness, Large):
        _, latency = evaluation_of(metric=kind()).baseline(InMemoryStore())
        peaks.append(latency.memory["device"])
    assert peaks[1] == pytest.approx(peaks[0], abs=0.05)
