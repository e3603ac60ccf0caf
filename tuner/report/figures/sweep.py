"""The best speedup of each study of a sweep, with its 95% interval."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from tuner.report.content import StudyContent
from tuner.report.figures.style import COLOURS, styled

ROW = 0.26  # inches


def sweep_figure(contents: Sequence[StudyContent]) -> Figure:
    """One row for each study, the first on top; the baseline is the line at 1."""
    with styled(6.6, 0.9 + ROW * len(contents)) as (figure, axes):
        axes.axvline(1, color=COLOURS["ink"], lw=1, zorder=1)
        for row, content in enumerate(contents):
            best = content.best
            if best is None:
                axes.plot(
                    1, row, "x", color=COLOURS["muted"], ms=5, label="no setting met the goal"
                )
                continue
            speedup = best.speedup
            ends = np.array([speedup.value - speedup.low, speedup.high - speedup.value])
            axes.errorbar(
                speedup.value,
                row,
                xerr=np.where(np.isfinite(ends), np.maximum(ends, 0), np.nan)[:, None],
                fmt="o",
                ms=6,
                mfc=COLOURS["accent"] if best.verified_now else COLOURS["paper"],
                mec=COLOURS["accent"],
                ecolor=COLOURS["accent"],
                elinewidth=1,
                label="verified" if best.verified_now else "not verified",
            )
        axes.set_yticks(range(len(contents)), [content.name for content in contents])
        axes.set_ylim(len(contents) - 0.5, -0.5)
        axes.tick_params(axis="y", labelcolor=COLOURS["ink"])
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("speedup of the best setting")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique, loc="outside lower center", ncols=3)
        return figure
