"""What of a model's folder is loaded: its safetensors, and no code or pickle beside them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.pipelines import tiny
from tuner.errors import UsageError
from tuner.loading import load

CODE = "import pathlib\npathlib.Path({mark!r}).write_text('ran')\nclass MyPipeline: ...\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a tiny pipeline."""
    folder = tmp_path / "model"
    tiny("sd").save_pretrained(folder)
    return folder


def with_index(folder: Path, **changes: Any) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pickled(folder: Path) -> None:
    """Replace the U-Net's safetensors by a pickle of the same weights."""
    from safetensors.torch import load_file

    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()


def test_pickled_weights_are_loaded_only_where_the_user_allows_it(folder: Path) -> None:
    pickled(folder)
    with pytest.raises(UsageError, match="only safetensors are loaded; set allow_pickle"):
        load(str(folder), device="cpu")
    assert load(str(folder), device="cpu", allow_pickle=True).unet is not None


def test_a_pickle_that_runs_code_does_not_run_it(folder: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return Path.touch, (folder / "ran",)  # type: ignore[return-value]

    pickled(folder)
    torch.save({"weight": Bomb()}, folder / "unet" / "diffusion_pytorch_model.bin")
    for allowed in (False, True):
        with pytest.raises(UsageError, match="cannot load"):
            load(str(folder), device="cpu", allow_pickle=allowed)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("allowed", [False, True])
def test_code_in_the_folder_is_not_run(folder: Path, allowed: bool) -> None:
    for file in (folder / "mine.py", folder / "unet" / "mine.py"):
        file.write_text(CODE.format(mark=str(folder / "ran")))
    with_index(folder, _class_name=["mine", "MyPipeline"])
    with pytest.raises(UsageError, match="cannot load"):
        load(str(folder), device="cpu", allow_pickle=allowed)
    with_index(folder, _class_name="StableDiffusionPipeline", unet=["mine", "MyPipeline"])
    with pytest.raises(UsageError, match="whose code is not run"):
        load(str(folder), device="cpu", allow_pickle=allowed)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    "config",
    ["[]", "{}", '{"_class_name": "UNet2DConditionModel", "block_out_channels": [1, "x"]}'],
)
def test_a_part_that_cannot_be_built_is_one_line(folder: Path, config: str) -> None:
    (folder / "unet" / "config.json").write_text(config)
    with pytest.raises(UsageError, match="cannot load") as caught:
        load(str(folder), device="cpu")
    assert "\n" not in str(caught.value)


def test_weights_that_are_cut_off_are_one_line(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UsageError, match="cannot load"):
        load(str(folder), device="cpu")
