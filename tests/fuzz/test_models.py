"""Folders of models whose descriptions are damaged, or name code that must not run."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.fuzz.bounds import INPUTS, answer, fuzz
from tests.fuzz.hostile import NESTED, TEXTS, damaged, json_of, mangled
from tuner.family import check_components, family_of, told_by

FILES: dict[str, Any] = {
    "model_index.json": {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.0",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "safety_checker": [None, None],
        "text_encoder": ["transformers", "CLIPTextModel"],
    },
    "unet/config.json": {"cross_attention_dim": 768, "sample_size": 64},
    "vae/config.json": {"block_out_channels": [128, 256, 512, 512]},
}
CLASSES = ["FluxPipeline", "utils", "UNet2DModel", "__doc__", "load", "DiffusionPipeline", *TEXTS]

whole = st.one_of(
    damaged(FILES),
    st.sampled_from(CLASSES).map(
        lambda name: FILES | {"model_index.json": {"_class_name": name, "unet": 1}}
    ),
)
folders = st.tuples(whole, st.sampled_from(list(FILES)), st.none() | st.binary(max_size=50))


@INPUTS
def test_any_folder_of_a_model_gives_a_family_or_one_line(inputs: int, tmp_path: Path) -> None:
    fuzz(inputs, folders, lambda value: _told(tmp_path, *value))


@INPUTS
def test_any_bytes_for_a_description_give_a_family_or_one_line(inputs: int, tmp_path: Path) -> None:
    index = json.dumps(FILES["model_index.json"]).encode()
    fuzz(inputs, mangled(index), lambda data: _told(tmp_path, FILES, "model_index.json", data))


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (NESTED, "lists or tables are nested more than 32 levels deep"),
        ("[]", "it is no JSON object"),
        ('{"_class_name": "utils"}', "utils, which is no pipeline class of diffusers"),
        ('{"_class_name": ["pipeline", "MyPipeline"]}', "no pipeline class of diffusers"),
    ],
)
def test_a_model_index_that_must_be_refused(index: str, words: str, tmp_path: Path) -> None:
    assert words in answer(
        lambda data: _told(tmp_path, {}, "model_index.json", data), index.encode()
    )


def test_a_part_of_another_package_is_not_imported(tmp_path: Path) -> None:
    for package in ("antigravity", "my_code", "os"):
        index = FILES["model_index.json"] | {"unet": [package, "UNet"]}
        (tmp_path / "model_index.json").write_text(json.dumps(index))
        words = f"the unet is from the package '{package}', whose code is not run"
        assert words in answer(lambda folder: check_components(folder), str(tmp_path))


def _told(folder: Path, files: Any, name: str, data: bytes | None) -> Any:
    for file in FILES:
        (folder / file).unlink(missing_ok=True)
    for file, contents in files.items() if isinstance(files, dict) else ():
        if file in FILES:
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(json_of(contents))
    if data is not None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    told_by.cache_clear()
    answer(check_components, str(folder))
    return family_of(None, str(folder))
