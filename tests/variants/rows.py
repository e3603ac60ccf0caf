"""All variants, and the columns of the table."""

from tests.accelerators.cases import KNOWN, Names
from tests.helpers.pipelines import FAMILIES
from tests.variants.transformers import of_flux, of_pixart, of_sd3
from tests.variants.unets import of_both
from tests.variants.unets_own import of_sd, of_sdxl
from tests.variants.variant import Variant
from tests.variants.wrapped import of_weights

_ROWS: list[Variant] = [
    *of_both("sd", "StableDiffusion"),
    *of_sd(),
    *of_both("sdxl", "StableDiffusionXL"),
    *of_sdxl(),
    *of_pixart(),
    *of_sd3(),
    *of_flux(),
    *of_weights(),
]

VARIANTS = [row for family in FAMILIES for row in _ROWS if row.family == family]

COLUMNS: list[Names] = [
    *((name,) for name in KNOWN),
    ("deepcache", "tome"),
    ("deepcache", "tgate"),
    ("tome", "tgate"),
    ("deepcache", "tome", "tgate"),
]
