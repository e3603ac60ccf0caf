"""How the figures look, and how they become SVG that follows the page's colours."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# The colours of the light page, by the names of its CSS variables. A figure on the page uses the
# variables, and so follows the dark page too.
COLOURS = {
    "ink": "#1b2127",
    "muted": "#69737d",
    "faint": "#b4bcc4",
    "line": "#e4e8eb",
    "paper": "#fffffe",
    "accent": "#0a6b61",
}
DARK = {  # the same names on the dark page
    "ink": "#e6e9ec",
    "muted": "#98a2ab",
    "faint": "#5d6770",
    "line": "#2a3036",
    "paper": "#14181b",
    "accent": "#56c2b3",
}
STYLE: Any = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9.5,
    "axes.edgecolor": COLOURS["faint"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.8,
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["faint"],
    "ytick.color": COLOURS["faint"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["muted"],
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.labelcolor": COLOURS["muted"],
    "figure.facecolor": "none",
    "svg.fonttype": "none",  # text stays text, which can be selected and searched
    "svg.hashsalt": "tuner",  # the same figure is the same file
}


@contextmanager
def styled(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Iterator[tuple[Figure, Axes]]:
    """A figure of this size in inches with one pair of axes, for the length of a block.

    Its margins follow from its labels at the end of the block; without a `layout` they are fixed.
    They are computed once: matplotlib would do so twice for each file, which takes as long as
    drawing the figure.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout=layout)
        yield figure, figure.add_subplot()
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine("none")


def svg(figure: Figure) -> str:
    """A figure as an SVG file in the colours of the light page."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def png(figure: Figure) -> bytes:
    """A figure as a PNG file in the colours of the light page, 200 dots per inch."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=200, facecolor=COLOURS["paper"])
    return buffer.getvalue()


def inline(file: str, name: str, label: str) -> str:
    """An SVG file as an element of a page.

    Args:
        file: what `svg` returned.
        name: makes its ids unique on the page; letters, digits and dashes.
        label: what the figure shows, for people who do not see it; escaped already.
    """
    element = file[file.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.S)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', element))
    ids = re.compile(r'\sid="([^"]*)"')  # most of them name groups, and nothing refers to these
    element = ids.sub(lambda id_: f' id="{name}-{id_[1]}"' if id_[1] in used else "", element)
    element = re.sub(r'(href="#|url\(#)', rf"\1{name}-", element)
    element = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", element, count=1)
    element = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", element, count=1)
    for variable, colour in COLOURS.items():
        element = element.replace(colour, f"var(--{variable})")
    return element.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
