"""All variants, and the columns of the table."""

from tests.accelerators.cases import KNOWN, Names
from tests.helpers.pipelines import FAMILIES
from tests.variants.transformers import OF_FLUX, OF_PIXART, OF_SD3
from tests.variants.unets import of_both
from tests.variants.unets_own import OF_SD, OF_SDXL
from tests.variants.variant import Variant
from tests.variants.wrapped import OF_WEIGHTS

_ROWS: list[Variant] = [
    *of_both("sd", "StableDiffusion"),
    *OF_SD,
    *of_both("sdxl", "StableDiffusionXL"),
    *OF_SDXL,
    *OF_PIXART,
    *OF_SD3,
    *OF_FLUX,
    *OF_WEIGHTS,
]

VARIANTS = [row for family in FAMILIES for row in _ROWS if row.family == family]

COLUMNS: list[Names] = [
    *((name,) for name in KNOWN),
    ("deepcache", "tome"),
    ("deepcache", "tgate"),
    ("tome", "tgate"),
    ("deepcache", "tome", "tgate"),
]
