"""Every accelerator with every variant is right, or refused as docs/variants.md says."""

from pathlib import Path

import pytest

import tuner
from tests.accelerators.cases import Names
from tests.variants.cell import RIGHT, WRONG, judged, judged_row
from tests.variants.page import read
from tests.variants.rows import COLUMNS, VARIANTS
from tests.variants.variant import Variant

PAGE = Path(tuner.__file__).parents[1] / "docs" / "variants.md"
BY_TITLE = {variant.title: variant for variant in VARIANTS}
SAMPLE = {  # each accelerator and combination once
    "sd: image to image, strength 0.75": ("deepcache",),
    "sd: SDCFGCutoffCallback on the way": ("deepcache-window",),
    "sd: guidance_scale 1": ("tome",),
    "sd: sequential offloading": ("tgate",),
    "sd: InstructPix2Pix": ("pab",),
    "sdxl: LoRA": ("deepcache", "tome"),
    "sdxl: prompt embeddings": ("deepcache", "tgate"),
    "sdxl: two pictures for each prompt": ("deepcache", "tome", "tgate"),
    "pixart: group offloading of leaves": ("tome", "tgate"),
    "sd3: IP-Adapter": ("taylorseer",),
    "sd3: PAG": ("fastercache",),
    "flux: ControlNet, image to image": ("magcache",),
    "flux: Fill": ("fbcache",),
}


def skip_if_missing(variant: Variant) -> None:
    if variant.missing:
        pytest.skip(f"needs the package {' and '.join(variant.missing)}")


def test_the_sample_has_every_accelerator_and_combination() -> None:
    assert set(SAMPLE.values()) == set(COLUMNS)


@pytest.mark.parametrize(("title", "names"), SAMPLE.items(), ids=SAMPLE)
def test_a_cell_is_what_the_page_says(title: str, names: Names) -> None:
    variant = BY_TITLE[title]
    cell = judged(variant, names)
    assert cell.verdict != WRONG, cell.line
    assert read(PAGE.read_text())[variant.title].get(names, cell) == cell


def test_the_page_has_a_row_for_every_variant() -> None:
    assert list(read(PAGE.read_text())) == [variant.title for variant in VARIANTS]


def test_no_cell_of_the_page_is_wrong() -> None:
    assert WRONG not in PAGE.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.title)
def test_each_accelerator_is_right_or_refused(variant: Variant) -> None:
    skip_if_missing(variant)
    cells = judged_row(variant, COLUMNS)
    assert {names: cell.line for names, cell in cells.items() if cell.verdict == WRONG} == {}
    on_page = read(PAGE.read_text())[variant.title]
    assert {names: cells[names] for names in on_page} == on_page
    assert all(cell.verdict != RIGHT for names, cell in cells.items() if names not in on_page)
