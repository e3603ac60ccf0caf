"""The rows of `bench.speed.gpu_clock`, here on a CPU."""

from bench.lib.miniature import evaluation_of
from bench.speed.gpu_clock import SETTINGS, TITLES, row


def test_a_row_has_the_speedup_and_the_scatter_in_both_ways() -> None:
    evaluation = evaluation_of("search", 1, steps=4, batch_size=1)
    cells = row(evaluation, "miniature", SETTINGS[1], 2).strip("| ").split(" | ")
    assert len(cells) == len(TITLES)
    assert cells[:3] == ["miniature", "1", "deepcache 3/0"]
    assert all(cell.endswith("×") for cell in cells[3:5])
    assert all(cell.endswith("%") for cell in cells[5:8])
    assert cells[8] == "-"  # a CPU has no utilisation
