"""Taking remedies out: what the command would replace is there, and so are the tests it names."""

import pytest

from bench.hazards import REMOVALS, ROOT, Removal


@pytest.mark.parametrize("removal", REMOVALS, ids=lambda one: f"{one.hazard} {one.taken_out}")
def test_every_remedy_stands_where_it_is_taken_out(removal: Removal) -> None:
    assert (ROOT / "tuner" / removal.file).read_text().count(removal.text) == 1
    for test in removal.tests:
        file, name = test.split("::")
        assert f"def {name.split('[')[0]}(" in (ROOT / file).read_text()
