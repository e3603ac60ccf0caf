"""Figures of horizontal bars: what the study cost by purpose, and how important each knob is."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tuner.formatting import percent
from tuner.report.figures.style import COLOURS, styled
from tuner.report.importance import Importance
from tuner.study.costs import StudyCosts

ROW = 0.27  # inches


def cost_figure(costs: StudyCosts) -> Figure:
    """The seconds for each purpose, the greatest on top."""
    seconds = sorted(costs.total.seconds.items(), key=lambda item: item[1])
    with styled(5, 0.75 + ROW * len(seconds)) as (figure, axes):
        bars = axes.barh(
            [purpose.value for purpose, _ in seconds],
            [spent for _, spent in seconds],
            height=0.62,
            color=COLOURS["accent"],
        )
        axes.bar_label(bars, fmt="{:,.1f}", padding=4, fontsize=8.5, color=COLOURS["muted"])
        axes.set_xlabel("seconds")
        _only_vertical_lines(axes)
        return figure


def importance_figure(importance: Importance) -> Figure:
    """Each knob's share of the differences in speedup and in score loss, the greatest on top."""
    knobs = importance.knobs[::-1]
    fills = dict(zip(importance.shares, (COLOURS["faint"], COLOURS["accent"]), strict=True))
    width = 0.36
    with styled(6.6, 0.95 + 1.5 * ROW * len(knobs)) as (figure, axes):
        for index, (name, shares) in enumerate(importance.shares.items()):
            bars = axes.barh(
                [row + width * (0.5 - index) for row in range(len(knobs))],
                [shares.get(knob, 0.0) for knob in knobs],
                height=width,
                color=fills[name],
                label=f"of the {name}",
            )
            labels = [percent(bar.get_width(), 0) for bar in bars]
            axes.bar_label(bars, labels, padding=4, fontsize=8.5, color=COLOURS["muted"])
        axes.set_yticks(range(len(knobs)), knobs)
        axes.set_xlabel("share of the differences that the knob explains")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))
        _only_vertical_lines(axes)
        figure.legend(loc="outside lower center", ncols=2)
        return figure


def _only_vertical_lines(axes: Axes) -> None:
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.tick_params(axis="y", labelcolor=COLOURS["ink"])
    axes.margins(x=0.12, y=0.02)
    axes.set_xlim(left=0)
