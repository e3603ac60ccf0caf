"""How the size of pictures is stored and read again."""

import pytest

from tuner.size import Size


@pytest.mark.parametrize("size", [Size(512, 512), Size(1216, 832), Size(832, 1216)])
def test_a_size_is_read_from_what_studies_and_files_store(size: Size) -> None:
    assert Size.of({"resolution": size.resolution}) == size
    assert Size.of(size.in_file()) == size
    assert Size.of({}) is None


def test_a_square_is_stored_as_one_number_and_a_rectangle_as_width_and_height() -> None:
    assert Size(512, 512).resolution == 512
    assert Size(512, 512).in_file() == {"resolution": 512}
    assert Size(1216, 832).resolution == "832x1216"
    assert Size(1216, 832).in_file() == {"height": 1216, "width": 832}
