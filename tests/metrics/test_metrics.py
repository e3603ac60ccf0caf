"""Extra metrics: their figures for equal, close and different pictures, and their errors."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torchvision
from PIL import Image
from torchmetrics.functional.image import learned_perceptual_image_patch_similarity
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPVisionConfig,
)

from tuner import registry
from tuner.errors import UsageError
from tuner.loading import model_named
from tuner.metrics import MetricKind
from tuner.metrics.clip import ClipScore
from tuner.metrics.psnr import HIGHEST_DB
from tuner.models.miniature import training

METRICS: dict[str, MetricKind] = registry.components("metrics")
COMPARISONS = [name for name, kind in METRICS.items() if kind.compares]
PROMPTS = ["a red circle", "a large blue ring above a small green square", "a triangle"]


def noisy(strength: float, count: int = 3) -> list[Any]:
    """Smooth pictures of 64 x 64 pixels with noise of this standard deviation, of 255."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 64))
    images = []
    for number in range(count):
        smooth = np.stack([x, y, (x + y + number / count) % 1], axis=-1) * 200 + 28
        noise = strength * rng.standard_normal(smooth.shape)
        images.append(Image.fromarray((smooth + noise).round().clip(0, 255).astype(np.uint8)))
    return images


@pytest.fixture(scope="module", autouse=True)
def hub(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder as torch's hub, with random weights of an AlexNet; nothing is downloaded."""
    folder = tmp_path_factory.mktemp("hub")
    torch.manual_seed(0)
    with torch.device("meta"):
        weights = torchvision.models.alexnet().state_dict()
    file = Path(torchvision.models.AlexNet_Weights.DEFAULT.url).name
    values = {
        # LPIPS uses the features alone; the rest, 230 MB, is views of a single number.
        name: 0.1 * torch.randn(tensor.shape)
        if name.startswith("features")
        else torch.zeros(1).expand(tensor.shape)
        for name, tensor in weights.items()
    }
    (folder / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(values, folder / "hub" / "checkpoints" / file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def comparisons(hub: Path) -> dict[str, Any]:
    return {name: METRICS[name](device="cpu") for name in COMPARISONS}


@pytest.mark.parametrize("name", COMPARISONS)
def test_equal_pictures_have_the_figure_of_the_baseline(
    name: str, comparisons: dict[str, Any]
) -> None:
    pictures = noisy(5)
    expected = pytest.approx([METRICS[name].equal] * 3, abs=1e-5)
    assert comparisons[name].compare(pictures, pictures) == expected


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_picture_with_more_noise_is_further_from_the_baseline(
    name: str, comparisons: dict[str, Any]
) -> None:
    smooth = noisy(0)
    by_strength = [
        comparisons[name].compare(noisy(strength), smooth) for strength in (2, 8, 32, 64)
    ]
    better = METRICS[name].above
    for values in zip(*by_strength, strict=True):
        assert list(values) == sorted(values, reverse=better)
        assert len(set(values)) == 4
        assert (values[0] < METRICS[name].equal) == better


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_comparison_does_not_depend_on_the_batch(name: str, comparisons: dict[str, Any]) -> None:
    pictures, others = noisy(8), noisy(0)
    together = comparisons[name].compare(pictures, others)
    pairs = zip(pictures, others, strict=True)
    alone = [comparisons[name].compare([image], [reference])[0] for image, reference in pairs]
    assert together == pytest.approx(alone, rel=1e-5)


def test_psnr_is_in_decibels_below_the_peak(comparisons: dict[str, Any]) -> None:
    dark, light = Image.new("RGB", (64, 64), (100,) * 3), Image.new("RGB", (64, 64), (116,) * 3)
    expected = 20 * math.log10(255 / 16)
    assert comparisons["psnr"].compare([dark], [light]) == [pytest.approx(expected, abs=1e-4)]
    one_pixel_off = dark.copy()
    one_pixel_off.putpixel((3, 3), (101, 100, 100))
    assert comparisons["psnr"].compare([dark], [one_pixel_off]) == [pytest.approx(HIGHEST_DB)]


def test_ssim_of_plain_pictures_is_the_papers_luminance_term(comparisons: dict[str, Any]) -> None:
    dark, light = Image.new("RGB", (64, 64), (51,) * 3), Image.new("RGB", (64, 64), (204,) * 3)
    expected = (2 * 0.2 * 0.8 + 0.01**2) / (0.2**2 + 0.8**2 + 0.01**2)
    assert comparisons["ssim"].compare([dark], [light]) == [pytest.approx(expected, abs=1e-4)]


def test_lpips_is_torchmetrics_own_on_pictures_between_0_and_1(
    comparisons: dict[str, Any],
) -> None:
    arrays = [np.stack([np.asarray(image) for image in noisy(strength)]) for strength in (16, 0)]
    pixels = [torch.from_numpy(array).permute(0, 3, 1, 2).float() / 255 for array in arrays]
    expected = learned_perceptual_image_patch_similarity(*pixels, normalize=True, reduction="none")
    actual = comparisons["lpips"].compare(noisy(16), noisy(0))
    assert actual == pytest.approx(expected.tolist(), rel=1e-5)


def test_lpips_without_weights_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "127.0.0.1:9")  # no server listens at this address
    with pytest.raises(UsageError, match=r"put torchvision's AlexNet.*, or use ssim") as caught:
        METRICS["lpips"](device="cpu")
    assert str(tmp_path / "hub" / "checkpoints") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CLIP of transformers with random weights, and its processor."""
    folder = tmp_path_factory.mktemp("clip")
    words = training.tokenizer()
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    size |= {"num_attention_heads": 2}
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id}
    text = CLIPTextConfig(vocab_size=len(words), max_position_embeddings=77, **size, **ends)
    vision = CLIPVisionConfig(image_size=32, patch_size=8, **size)
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict())
    CLIPModel(config).save_pretrained(folder)
    side = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPProcessor(CLIPImageProcessor(**side), words).save_pretrained(folder)
    return folder


def test_pickscore_is_the_scaled_cosine_of_each_picture_and_its_prompt(clip_folder: Path) -> None:
    metric = METRICS["pickscore"](device="cpu", model=str(clip_folder), processor=str(clip_folder))
    pictures = noisy(20)
    together = metric.score(pictures, PROMPTS)
    processor = CLIPProcessor.from_pretrained(clip_folder)
    model = CLIPModel.from_pretrained(clip_folder).eval()
    for picture, prompt, score in zip(pictures, PROMPTS, together, strict=True):
        with torch.inference_mode():
            text = model.get_text_features(**processor(text=prompt, return_tensors="pt"))
            image = model.get_image_features(**processor(images=picture, return_tensors="pt"))
            cosine = torch.cosine_similarity(text.pooler_output, image.pooler_output).item()
        assert score == pytest.approx(math.exp(model.logit_scale.item()) * cosine, rel=1e-4)


def test_pickscore_in_half_precision_has_nearly_the_same_scores_and_names_the_precision(
    clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {"model": str(clip_folder), "processor": str(clip_folder)}
    single = METRICS["pickscore"](device="cpu", **folders)
    monkeypatch.setattr("tuner.metrics.pickscore.dtype_on", lambda device: torch.float16)
    half = METRICS["pickscore"](device="cpu", **folders)
    assert {parameter.dtype for parameter in half._model.parameters()} == {torch.float16}
    scores = half.score(noisy(20), PROMPTS)
    assert scores == pytest.approx(single.score(noisy(20), PROMPTS), abs=0.02)
    assert any(score != torch.tensor(score).half().item() for score in scores)
    assert half.identity == f"{single.identity} float16"


def test_hpsv2_is_open_clips_network_with_weights_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = model_named("miniature").metric_options
    scorer = ClipScore(device="cpu", **options)
    folder = Path(options["model"].removeprefix("local-dir:"))
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    config["text_cfg"]["hf_tokenizer_name"] = str(folder)
    (tmp_path / "tiny-hps.json").write_text(json.dumps(config))
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    open_clip.add_model_config(tmp_path / "tiny-hps.json")
    torch.save({"state_dict": scorer._model.state_dict()}, tmp_path / "hps.pt")
    metric = METRICS["hpsv2"](device="cpu", model="tiny-hps", weights=str(tmp_path / "hps.pt"))
    assert metric.identity.startswith("hpsv2 tiny-hps ")
    assert metric.identity.split()[-1] == scorer.identity.split()[-1]  # the same weights
    tokens = scorer._tokenize(PROMPTS)
    with torch.inference_mode():
        pixels = torch.stack([metric._preprocess(image) for image in noisy(9)])
        image = scorer._model.encode_image(pixels)
        expected = 100 * torch.cosine_similarity(image, scorer._model.encode_text(tokens))
    assert metric.score(noisy(9), PROMPTS) == pytest.approx(expected.tolist(), rel=1e-5)


@dataclass(frozen=True)
class Missing:
    """A metric that cannot be loaded, and words of its message."""

    name: str
    options: dict[str, str]
    words: str


@pytest.mark.parametrize(
    "missing",
    [
        Missing("pickscore", {"model": "no/such", "processor": "no/such"}, "connect to the hub"),
        Missing("hpsv2", {}, "put xswu/HPSv2 into its cache"),
        Missing("imagereward", {}, "the package image-reward"),
        Missing("clip", {"model": "ViT-B-32", "pretrained": "openai"}, "connect to the hub"),
    ],
    ids=lambda missing: missing.name,
)
def test_a_metric_that_cannot_be_loaded_says_in_one_line_what_would_work(
    missing: Missing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setitem(__import__("sys").modules, "ImageReward", None)
    with pytest.raises(UsageError, match=missing.words) as caught:
        METRICS[missing.name](device="cpu", **missing.options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("cannot load")


def test_other_weights_have_another_identity(clip_folder: Path, tmp_path: Path) -> None:
    def identity(folder: Path) -> str:
        metric = METRICS["pickscore"](device="cpu", model=str(folder), processor=str(clip_folder))
        return str(metric.identity)

    other = CLIPModel.from_pretrained(clip_folder)
    with torch.no_grad():
        other.logit_scale += 0.5
    other.save_pretrained(tmp_path)
    assert identity(clip_folder) == identity(clip_folder) != identity(tmp_path)
