"""Labels of points: each on a side of its point where it covers no point and no other label."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from tuner.report.figures.style import COLOURS

SIZE = 8  # of the letters, in points
WIDTH = 0.6  # of a letter, as a share of its size
GAP = (6, 3)  # between the middle of a point and its label, in points, sideways and up or down
RADIUS = 4  # of a point that no label may cover, in points
SIDES = ((1, 1), (-1, 1), (1, -1), (-1, -1))  # right or left, above or below


@dataclass(frozen=True, kw_only=True)
class Label:
    """A text beside a point of the axes."""

    text: str
    x: float
    y: float
    left: bool = False  # looks for room on the left of its point first


def draw_labels(
    axes: Axes, labels: Sequence[Label], points: Iterable[tuple[float, float]]
) -> list[Label]:
    """Draw those labels that find room, the first ones first; returns them.

    Args:
        axes: with their final limits.
        labels: in the order of their importance.
        points: what is drawn in the axes and must stay visible.
    """
    scale = 72 / axes.figure.dpi  # points per pixel
    covered = [_around(place) for place in _in_points(axes, points, scale)]
    window = axes.get_window_extent()
    view = Bbox(window.get_points() * scale)
    drawn = []
    places = _in_points(axes, ((label.x, label.y) for label in labels), scale)
    for label, place in zip(labels, places, strict=True):
        for side, box in _boxes(label, place):
            if _within(box, view) and not any(box.overlaps(other) for other in covered):
                _draw(axes, label, side)
                covered.append(box)
                drawn.append(label)
                break
    return drawn


def _in_points(
    axes: Axes, places: Iterable[tuple[float, float]], scale: float
) -> Iterator[np.ndarray]:
    return (axes.transData.transform(place) * scale for place in places)


def _around(place: np.ndarray) -> Bbox:
    return Bbox([place - RADIUS, place + RADIUS])


def _boxes(label: Label, place: np.ndarray) -> Iterator[tuple[tuple[int, int], Bbox]]:
    """The sides of a point in the order in which they are tried, and what the text covers there."""
    size = np.array([WIDTH * SIZE * len(label.text), SIZE])
    for right, up in SIDES:
        side = (-right if label.left else right, up)
        near = place + np.array(side) * GAP
        far = near + np.array(side) * size
        yield side, Bbox([np.minimum(near, far), np.maximum(near, far)])


def _within(box: Bbox, view: Bbox) -> bool:
    return bool(np.all(box.min >= view.min) and np.all(box.max <= view.max))


def _draw(axes: Axes, label: Label, side: tuple[int, int]) -> None:
    axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=(side[0] * GAP[0], side[1] * GAP[1]),
        textcoords="offset points",
        ha="left" if side[0] > 0 else "right",
        va="bottom" if side[1] > 0 else "top",
        fontsize=SIZE,
        color=COLOURS["muted"],
    )
