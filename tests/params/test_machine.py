"""Applying a file warns if it was measured on another device or with other packages."""

import warnings
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import pytest

import tuner
from tests.helpers.pipelines import new, pictures
from tests.params.files import contents, study
from tests.params.settings import DEEPCACHE, TGATE, weights
from tuner import registry
from tuner.measure.device import GENERATION, model_of, versions


def file_of(pipe: Any, changes: Mapping[str, str], params: Any = DEEPCACHE) -> dict[str, Any]:
    """Two studies that were measured here, but for some versions, or the device."""
    device = {"device": changes.get("device", model_of("cpu"))}
    packages = versions() | {name: text for name, text in changes.items() if name != "device"}
    return contents(
        **{
            f"of {steps} steps": study(steps, params, evaluation=weights(pipe, **device))
            | {"versions": packages}
            for steps in (8, 9)
        }
    )


def warned(pipe: Any, file: dict[str, Any]) -> list[str]:
    """What is warned of when a file is applied and used for two calls."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        undo = tuner.apply(pipe, file)
        pictures(pipe)
        pictures(pipe)
        undo()
    return [str(warning.message) for warning in caught if "measured" in str(warning.message)]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"device": "NVIDIA H100"}, f"device NVIDIA H100 -> {model_of('cpu')}"),
        ({"torch": "2.0.0"}, f"torch 2.0.0 -> {metadata.version('torch')}"),
        ({"DeepCache": "0.0.1"}, f"DeepCache 0.0.1 -> {metadata.version('DeepCache')}"),
        (
            {"diffusers": "0.1", "transformers": "4.0"},
            f"diffusers 0.1 -> {metadata.version('diffusers')}, "
            f"transformers 4.0 -> {metadata.version('transformers')}",
        ),
    ],
    ids=lambda part: str(part)[:30],
)
def test_another_device_or_version_is_warned_of_once(
    pipe: Any, changes: dict[str, str], text: str
) -> None:
    assert warned(pipe, file_of(pipe, changes)) == [
        f"of 8 steps was measured with another device or other packages ({text}): its speed and "
        "quality figures may not hold here; `tuner verify` re-measures them"
    ]


def test_the_machine_that_measured_a_file_is_not_warned_of(pipe: Any) -> None:
    assert not warned(pipe, file_of(pipe, {}))


def test_packages_of_accelerators_that_are_off_do_not_matter(pipe: Any) -> None:
    assert not warned(pipe, file_of(pipe, {"tgate": "0.1", "tomesd": "0.1", "pillow": "1.0"}))
    assert warned(pipe, file_of(pipe, {"tgate": "0.1"}, TGATE))


def test_a_file_that_names_neither_device_nor_versions_is_not_warned_of(pipe: Any) -> None:
    assert not warned(pipe, contents(one=study(8, DEEPCACHE)))


def test_captions_that_are_not_cleaned_here_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusers.utils.is_ftfy_available", lambda: False)
    pipe = new("pixart")
    params = {"tome": {"ratio": 0.5, "max_downsample": 1}}
    one = study(8, params, sched="DPM-Solver++") | {"pipeline": "PixArtAlphaPipeline"}
    tuner.schedulers.set_scheduler(pipe, "DPM-Solver++")
    with pytest.warns(UserWarning, match=r"ftfy to clean captions; run pip install"):
        tuner.apply(pipe, contents(one=one))()


def test_the_versions_of_all_accelerators_packages_are_stored() -> None:
    accelerators = registry.components("accelerators").values()
    assert {package for part in accelerators for package in part.packages} <= set(GENERATION)
