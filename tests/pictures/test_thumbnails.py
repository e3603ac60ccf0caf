"""Small copies of pictures: nothing of a small picture is lost, and a large one becomes small."""

import numpy as np

from tests.helpers.pictured import picture
from tuner.pictures.thumbnails import MAX_SIDE, decoded, encoded


def test_a_small_picture_is_stored_without_loss() -> None:
    small = picture(1, side=64)
    assert np.array_equal(np.asarray(decoded(encoded(small))), np.asarray(small))


def test_a_large_picture_is_shrunk_and_keeps_its_shape() -> None:
    wide = picture(1, side=512).resize((1024, 512))
    assert decoded(encoded(wide)).size == (MAX_SIDE, MAX_SIDE // 2)
    assert wide.size == (1024, 512)


def test_a_photograph_of_256_pixels_takes_less_than_a_png_of_it() -> None:
    smooth = picture(1, side=16).resize((512, 512))
    assert len(encoded(smooth)) < 20_000
