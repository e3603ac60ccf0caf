"""Measuring on a GPU: noise from the host, the GPU's clock and memory, and batch sizes."""

from dataclasses import replace
from typing import Any

import pytest
import torch

import tuner
from tests.accelerators.cases import KNOWN, fits, setting
from tests.gpu.pipelines import DEVICE, evaluation_of, full
from tuner.applying.applied import applied
from tuner.measure.baseline_store import InMemoryStore
from tuner.measure.evaluation import Evaluation
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec

pytestmark = pytest.mark.gpu

CACHED = Setting.of({"deepcache": {"cache_interval": 5, "cache_branch_id": 0}})
EACH = [Setting(), *(setting((name,)) for name in KNOWN if fits((name,), "sd"))]


def miniature(device: str, **changes: Any) -> Evaluation:
    """Four prompts at eight steps."""
    values: dict[str, Any] = {"steps": 8, "num_samples": 4, "device": device}
    return Session().evaluation(StudySpec(pipe="miniature", **values | changes))


@pytest.fixture(scope="module")
def half() -> Evaluation:
    """The miniature in half precision."""
    return miniature(DEVICE, dtype="float16")


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> Evaluation:
    """The miniature in single precision, without TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return miniature(DEVICE, dtype="float32")


def first_input(evaluation: Evaluation) -> torch.Tensor:
    """The first input of the denoiser: the noise."""
    seen: list[torch.Tensor] = []
    hook = evaluation.pipeline.unet.register_forward_pre_hook(
        lambda module, args: seen.append(args[0].cpu())
    )
    try:
        with applied(evaluation.pipeline, ()) as call:
            evaluation.generate(call, evaluation.batches()[0])
    finally:
        hook.remove()
    return seen[0]


def test_the_noise_is_the_same_on_the_gpu_as_on_the_cpu() -> None:
    on_gpu, on_cpu = (first_input(miniature(device, steps=2)) for device in (DEVICE, "cpu"))
    assert torch.equal(on_gpu, on_cpu)
    assert not torch.equal(on_gpu[0], on_gpu[1])


@pytest.mark.parametrize("chosen", EACH, ids=str)
@pytest.mark.parametrize("size", [1, 3])
def test_pictures_do_not_depend_on_the_batch_size(
    size: int, chosen: Setting, half: Evaluation, exact: Evaluation
) -> None:
    # Half precision rounds differently in other shapes, so that ToMe would merge other tokens.
    made = exact if "tome" in chosen.params else half
    whole, parts = (
        torch.cat(
            [pictures(evaluation, chosen, numbers) for numbers in evaluation.batches()]
        ).float()
        for evaluation in (made, replace(made, batch_size=size))
    )
    apart = (whole[0] - whole[1]).abs().mean()
    off = (whole - parts).abs().mean(dim=(1, 2, 3))
    assert off.max() < 0.01
    assert apart > 0.1


def pictures(evaluation: Evaluation, chosen: Setting, numbers: range) -> torch.Tensor:
    with applied(evaluation.pipeline, chosen.accelerators, seed=evaluation.seed) as call:
        batch: torch.Tensor = evaluation.generate(call, numbers)[0]
    return batch


def test_the_denoising_time_is_less_than_the_whole_and_the_sum_of_its_steps() -> None:
    evaluation = evaluation_of()
    with applied(evaluation.pipeline, ()) as call:
        evaluation.generate(call, range(1))
        _, seconds = evaluation.generate(call, range(1))
    assert len(seconds.steps) == evaluation.steps
    assert min(seconds.steps) > 0
    assert sum(seconds.steps) == pytest.approx(seconds.denoising)
    assert 0.3 * seconds.whole < seconds.denoising < seconds.whole


def test_the_driver_says_how_busy_the_gpu_was() -> None:
    evaluation = evaluation_of(steps=60)
    _, seconds = evaluation.generate_with(Setting(), range(1))
    assert seconds.busy is not None
    assert 0.05 < seconds.busy <= 1


def test_a_setting_that_skips_most_of_the_work_is_certainly_faster() -> None:
    evaluation = evaluation_of(steps=20, most_pairs=12)
    *_, last = evaluation.measure(CACHED, InMemoryStore())
    assert last.speedup.low > 1.3
    assert (
        last.denoising.value > last.speedup.value
    )  # text encoding and decoding are not accelerated


def test_peak_memory_is_that_of_the_gpu_and_grows_with_the_batch() -> None:
    weights = sum(parameter.nbytes for parameter in full("SD1.5").unet.parameters()) / 2**30
    peaks = []
    for size in (1, 2):
        store = InMemoryStore()
        evaluation = evaluation_of(batch_size=size)
        _, latency = evaluation.baseline(store)
        *_, last = evaluation.measure(CACHED, store)
        assert latency.memory["device"] is not None
        assert last.memory.device is not None
        # The cache is needed in addition to the memory of the baseline.
        assert weights < latency.memory["device"] <= last.memory.device + 0.01
        peaks.append(last.memory.device)
    assert peaks[0] + 0.01 < peaks[1] < torch.cuda.mem_get_info(DEVICE)[1] / 2**30


def test_the_bundled_miniature_is_loaded_to_the_requested_device() -> None:
    pipeline = tuner.load("miniature", scheduler="DDIM", device="cuda")
    assert str(pipeline.unet.device) == DEVICE
