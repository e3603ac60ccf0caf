"""The hub and its cache: a real server that answers or not, and folders as the hub writes them."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from tuner.doctor import hub as doctor_hub
from tuner.doctor.finding import Status
from tuner.doctor.hub import Hub, look, missing_weights
from tuner.doctor.weights import weights

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
INDEX = {
    "_class_name": "StableDiffusionXLPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "image_encoder": [None, None],
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which is not switched off."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    return tmp_path


def cached(cache: Path, repository: str, files: dict[str, str]) -> Path:
    """Write a repository as a download leaves it."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("a" * 40)
    for name, text in files.items():
        path = snapshot / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)
    return snapshot


PIPELINE = {
    "model_index.json": json.dumps(INDEX),
    "unet/diffusion_pytorch_model.fp16.safetensors": "weights",
    "vae/diffusion_pytorch_model.safetensors": "weights",
    "tokenizer/vocab.json": "{}",
}


class Refuses(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with HTTPServer(("127.0.0.1", 0), Refuses) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{http.server_port}")
        yield
        http.shutdown()


@pytest.mark.usefixtures("server")
def test_a_hub_that_answers_is_reachable_whatever_it_answers() -> None:
    assert look().is_reachable
    assert look().finding().status is Status.OK


@pytest.mark.usefixtures("cache")
def test_a_hub_that_cannot_be_reached_is_a_note_with_what_to_do() -> None:
    finding = look().finding()
    assert finding.status is Status.NOTE
    assert "http://127.0.0.1:9 cannot be reached: " in finding.text
    assert finding.remedy is not None
    assert "HF_ENDPOINT" in finding.remedy


@pytest.mark.usefixtures("cache")
def test_a_hub_that_does_not_answer_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_hub, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        assert not look().is_reachable
        assert time.monotonic() - start < 5


def test_a_hub_that_is_switched_off_is_not_asked(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    finding = look().finding()
    assert finding.text == "HF_HUB_OFFLINE is set, so the hub is not used"
    assert finding.remedy == "unset HF_HUB_OFFLINE"


def test_a_model_with_all_its_weights_is_in_the_cache(cache: Path) -> None:
    cached(cache, SDXL, PIPELINE)
    assert look().has(SDXL)
    first = next(weights(look(), "SDXL"))
    assert (first.name, first.status) == ("model SDXL", Status.OK)


@pytest.mark.parametrize("lacking", ["unet", "vae"])
def test_an_interrupted_download_names_the_weights_that_are_missing(
    lacking: str, cache: Path
) -> None:
    files = {name: text for name, text in PIPELINE.items() if not name.startswith(lacking)}
    assert missing_weights(cached(cache, SDXL, files)) == [lacking]
    first = next(weights(look(), "SDXL"))
    assert first.status is Status.MISSING
    assert f"in the cache without the weights of {lacking}" in first.text


def test_without_a_hub_a_model_needs_its_weights_its_scorer_and_its_prompts() -> None:
    findings = list(weights(Hub(problem="no network", cached={}), "SDXL"))
    assert [finding.name for finding in findings] == ["model SDXL", "scorer clip", "prompts coco"]
    assert {finding.status for finding in findings} == {Status.MISSING}
    assert findings[0].remedy == f"with a connection: hf download {SDXL}"


def test_with_a_hub_nothing_is_missing() -> None:
    findings = list(weights(Hub(problem=None, cached={}), "SDXL"))
    assert Status.MISSING not in {finding.status for finding in findings}
    assert findings[0].remedy == f"hf download {SDXL}"


def test_the_miniature_needs_no_hub() -> None:
    findings = list(weights(Hub(problem="no network", cached={}), "miniature"))
    assert {finding.status for finding in findings} == {Status.OK}
    assert len(findings) == 3


def test_without_a_model_all_are_listed_and_none_is_needed() -> None:
    findings = list(weights(Hub(problem="no network", cached={}), None))
    assert {"model SD1.5", "model Flux", "scorer lpips"} <= {f.name for f in findings}
    assert {finding.status for finding in findings} == {Status.OK, Status.NOTE}


def test_the_scorer_is_looked_for_where_open_clip_has_it_from() -> None:
    import open_clip

    from tuner.metrics import clip

    source = open_clip.get_pretrained_cfg(clip.MODEL, clip.PRETRAINED)["hf_hub"]
    assert source.rstrip("/") == clip.REPOSITORY


def test_the_checkpoint_is_the_one_that_torchvision_downloads() -> None:
    from torchvision.models import AlexNet_Weights

    from tuner.metrics import lpips

    assert AlexNet_Weights.IMAGENET1K_V1.url.endswith(f"/{lpips.CHECKPOINT}")
