"""On a GPU too, an exported script draws the same pictures as the setting."""

import pytest

from tests.accelerators.cases import Names, setting
from tests.gpu.pipelines import DEVICE, HALF, small
from tests.helpers.pipelines import PROMPTS, new, pictures, same
from tests.params.plain import case_id, cases, conditions, running
from tuner.applying.applied import applied
from tuner.params.as_diffusers import codes_of

pytestmark = pytest.mark.gpu

ON_GPU = {"device_type": "cuda", "dtype": "float16"}


@pytest.mark.parametrize(("names", "family"), cases(**ON_GPU), ids=case_id)
def test_the_packages_draw_the_same_pictures_in_half_precision(names: Names, family: str) -> None:
    codes = codes_of(setting(names), conditions(family, **ON_GPU))
    plain = running(new(family).to(DEVICE, HALF), codes)
    with applied(small(family), setting(names).accelerators) as ours:
        expected = pictures(ours, PROMPTS[:1])
    assert same(plain(PROMPTS[:1]), expected)
    assert same(plain(PROMPTS[:1]), expected)
