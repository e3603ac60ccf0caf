"""Labels stay beside their points, and cover neither points nor one another."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tuner.report.figures.labels import Label, draw_labels

SIDE = 4  # inches of the axes, which are 10 units long: a unit is 28.8 points


def square() -> Axes:
    axes = Figure(figsize=(SIDE, SIDE)).add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 10), ylim=(0, 10))
    return axes


def test_a_label_is_on_the_upper_right_of_a_point_that_stands_alone() -> None:
    axes = square()
    draw_labels(axes, [Label(text="12", x=5, y=5)], [(5, 5)])
    (text,) = axes.texts
    assert (text.get_ha(), text.get_va(), text.xyann) == ("left", "bottom", (6, 3))


def test_a_label_that_looks_to_the_left_first_is_drawn_there() -> None:
    axes = square()
    draw_labels(axes, [Label(text="12 steps", x=5, y=5, left=True)], [(5, 5)])
    assert (axes.texts[0].get_ha(), axes.texts[0].get_va()) == ("right", "bottom")


def test_a_label_moves_to_another_side_where_it_would_cover_a_point() -> None:
    axes = square()
    draw_labels(axes, [Label(text="12", x=5, y=5)], [(5, 5), (5.4, 5.2)])
    assert (axes.texts[0].get_ha(), axes.texts[0].get_va()) == ("right", "bottom")


def test_a_label_moves_inwards_at_the_edge_of_the_axes() -> None:
    axes = square()
    draw_labels(axes, [Label(text="12", x=9.9, y=9.9)], [(9.9, 9.9)])
    assert (axes.texts[0].get_ha(), axes.texts[0].get_va()) == ("right", "top")


def test_of_labels_at_the_same_place_those_without_room_are_left_out_the_last_ones_first() -> None:
    axes = square()
    labels = [Label(text=str(number), x=5, y=5) for number in range(10, 16)]
    assert draw_labels(axes, labels, [(5, 5)]) == labels[:4]
    assert [text.get_text() for text in axes.texts] == ["10", "11", "12", "13"]


def test_no_label_covers_a_point_or_another_label_as_they_are_drawn() -> None:
    axes = square()
    rng = np.random.default_rng(1)
    points = [(x, y) for x, y in rng.uniform(1, 9, (40, 2))]
    labels = [Label(text=f"{n} steps", x=x, y=y) for n, (x, y) in enumerate(points)]
    drawn = draw_labels(axes, labels, points)
    assert 10 < len(drawn) < 40
    boxes = [text.get_window_extent() for text in axes.texts]
    pixels = axes.transData.transform(points)
    assert not any(box.contains(x, y) for box in boxes for x, y in pixels)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
