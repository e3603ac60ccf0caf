"""The family of a model is told from its files, and studies of it are what they are by name."""

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest

from tests.helpers.pipelines import new, pictures
from tuner import registry
from tuner.errors import UsageError
from tuner.family import family_of, told_by
from tuner.fitting import fitting
from tuner.loading import load
from tuner.models import miniature
from tuner.schedulers import set_scheduler
from tuner.session import Session
from tuner.spec import StudySpec

CLASSES = {m.pipeline for m in registry.components("models").values()}


def described(folder: Path, class_name: str, denoiser: str = "unet", **config: Any) -> str:
    """A folder with the files that describe a model, without weights."""
    files = {
        "model_index.json": {"_class_name": class_name, denoiser: ["diffusers", "Some"]},
        f"{denoiser}/config.json": config,
        "vae/config.json": {"block_out_channels": [128, 256, 512, 512]},
    }
    for name, contents in files.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(json.dumps(contents))
    return str(folder)


@pytest.mark.parametrize(
    ("class_name", "denoiser", "config", "family", "resolution"),
    [
        (
            *("StableDiffusionPipeline", "unet", {"cross_attention_dim": 768, "sample_size": 64}),
            *("SD1.5", 512),
        ),
        (
            *("StableDiffusionPipeline", "unet", {"cross_attention_dim": 1024, "sample_size": 96}),
            *("SD2.1", 768),
        ),
        (
            *("StableDiffusionPipeline", "unet", {"cross_attention_dim": 1024, "sample_size": 64}),
            *("SD2.1", 512),
        ),
        ("StableDiffusionXLPipeline", "unet", {"sample_size": 64}, "SDXL", 512),
        ("PixArtSigmaPipeline", "transformer", {"sample_size": 64}, "PixArt-Sigma", 512),
        ("FluxPipeline", "transformer", {}, "Flux", 1024),
        (
            "LatentConsistencyModelPipeline",
            "unet",
            {"sample_size": 96},
            "LatentConsistencyModel",
            768,
        ),
    ],
)
def test_the_family_follows_from_the_class_and_the_width_of_the_embedding(
    tmp_path: Path,
    class_name: str,
    denoiser: str,
    config: dict[str, Any],
    family: str,
    resolution: int,
) -> None:
    place = described(tmp_path, class_name, denoiser, **config)
    told = told_by(place)
    assert (told.name, told.resolution) == (family, resolution)
    spec = StudySpec(model=place, sched="FlowMatchEuler")
    assert (spec.pipe, spec.resolution) == (family, resolution)
    assert StudySpec(pipe=family, model=place).pipe == family


@pytest.mark.parametrize(
    ("class_name", "kind", "scheduler"),
    [
        ("StableDiffusion3Pipeline", "FlowMatchEulerDiscreteScheduler", "FlowMatchEuler"),
        ("SanaPipeline", "FlowMatchHeunDiscreteScheduler", "FlowMatchEuler"),
        ("StableDiffusionXLPipeline", "EDMDPMSolverMultistepScheduler", "EDM DPM++ 2M"),
        ("StableDiffusionXLPipeline", "PNDMScheduler", "DDIM"),
    ],
)
def test_without_a_named_scheduler_a_study_has_one_that_fits_how_the_model_was_trained(
    tmp_path: Path, class_name: str, kind: str, scheduler: str
) -> None:
    place = described(tmp_path, class_name)
    index = tmp_path / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"scheduler": ["diffusers", kind]}))
    assert StudySpec(model=place).sched == scheduler
    assert StudySpec(model=place, sched="UniPC").sched == "UniPC"


def test_known_models_have_a_scheduler_that_fits_them() -> None:
    assert [StudySpec(pipe=pipe).sched for pipe in ("SDXL", "SD3", "Flux")] == [
        *("DDIM", "FlowMatchEuler", "FlowMatchEuler")
    ]


def test_without_a_model_it_is_sd15_and_a_name_counts_more_than_the_files(tmp_path: Path) -> None:
    assert StudySpec().pipe == "SD1.5"
    assert StudySpec().resolution is None
    place = described(tmp_path, "StableDiffusionXLPipeline")
    assert StudySpec(pipe="SD1.5", model=place).pipe == "SD1.5"
    assert family_of("sdxl", "a hub id that is never read").name == "SDXL"


def test_a_known_class_with_another_width_is_a_family_of_its_own(tmp_path: Path) -> None:
    place = described(tmp_path, "StableDiffusionPipeline", cross_attention_dim=32)
    assert told_by(place).name == "StableDiffusion"
    assert told_by(place).guidance_scale == 7.5  # the default of the pipeline's call


@pytest.mark.parametrize(
    ("class_name", "words"),
    [
        (
            "MyPipeline",
            "is MyPipeline, which is no pipeline class of diffusers; set pipe to a known model",
        ),
        ("StableDiffusionUpscalePipeline", "does not draw pictures from prompts alone"),
        ("WanPipeline", "does not draw pictures from prompts alone"),
    ],
)
def test_a_pipeline_that_cannot_be_tuned_is_refused_in_one_line(
    tmp_path: Path, class_name: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        StudySpec(model=described(tmp_path, class_name))
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a diffusers pipeline: it has no model_index"):
        StudySpec(model=str(tmp_path))
    for place, words in (
        (
            "someone/unknown",
            r"^cannot tell what kind of model 'someone/unknown' is: .* pipe to .*SDXL",
        ),
        ("./no/folder", r"^'./no/folder' is neither a folder nor a hub id; set model to"),
    ):
        with pytest.raises(UsageError, match=words) as caught:
            StudySpec(model=place)
        assert "\n" not in str(caught.value)


def test_a_study_of_a_folder_is_that_of_its_family() -> None:
    place = miniature.component.source
    spec = StudySpec(model=place, steps=2, num_samples=2, batch_size=2)
    named = StudySpec(pipe="miniature", steps=2, num_samples=2, batch_size=2)
    assert spec.triple == named.triple
    session = Session()
    ours, theirs = session.evaluation(spec), session.evaluation(named)
    assert ours.score_parts == theirs.score_parts


def test_a_class_without_a_known_model_is_loaded_and_its_accelerators_are_found(
    tmp_path: Path,
) -> None:
    sd = new("sd")
    set_scheduler(sd, "LCM")
    # A distilled model's U-Net takes the guidance scale as an input.
    unet = diffusers.UNet2DConditionModel.from_config(sd.unet.config, time_cond_proj_dim=8)
    parts = sd.components | {"unet": unet}
    pipeline = diffusers.LatentConsistencyModelPipeline(
        **{name: part for name, part in parts.items() if name != "safety_checker"},
        safety_checker=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(tmp_path)
    spec = StudySpec(model=str(tmp_path), sched="LCM", steps=4)
    assert (spec.pipe, spec.resolution) == ("LatentConsistencyModel", 16)
    assert type(pipeline).__name__ not in CLASSES
    loaded = load(spec.family.name, source=spec.model, device="cpu")
    assert type(loaded) is type(pipeline)
    fitted, left_out = fitting(spec, loaded, {"guidance_scale": spec.family.guidance_scale})
    assert {"deepcache", "tome"} <= set(fitted.search_targets)
    assert any(line.startswith("left out: fbcache") for line in left_out)
    assert pictures(loaded, num_inference_steps=4).shape == (2, 16, 16, 3)
