"""The front: speedup against a figure of quality, with 95% intervals and the limit drawn in."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from tuner import registry
from tuner.formatting import plain, short_percent
from tuner.measure.figures import Figures
from tuner.measure.statistics import Estimate
from tuner.report.content import StudyContent
from tuner.report.figures.labels import Label, draw_labels
from tuner.report.figures.style import COLOURS, styled
from tuner.study.reference import ReferenceRow
from tuner.study.results import Result

MARGIN = 0.06  # of an axis, beside the outermost points
FRONT = {  # of the front: the size of the points, and the colour that fills them
    "best": (9, "accent"),
    "front, within the limits": (6, "accent"),
    "front, over a limit": (6, "paper"),
}
ROOM = 1.5  # how far beyond its limit a figure is shown, where the front does not reach further


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The figure of quality on the vertical axis."""

    title: str
    of: Callable[[Figures], Estimate | None]
    limit: float | None
    equal: float  # of pictures that are equal to the baseline's
    text: Callable[[float], str]


def qualities(content: StudyContent) -> list[Quality]:
    """The score loss, and each extra metric that was measured."""
    limits = content.goal.limits
    loss = Quality(
        title="score loss",
        of=lambda figures: figures.score_loss,
        limit=limits.score_loss,
        equal=0.0,
        text=short_percent,
    )
    names = dict.fromkeys(name for result in content.results for name in result.fidelity)
    return [loss, *(_extra(name, limits.others.get(name)) for name in names)]


def _extra(name: str, limit: float | None) -> Quality:
    metric = registry.get("metrics", name)
    return Quality(
        title=metric.figure,
        of=lambda figures: figures.fidelity.get(name),
        limit=limit,
        equal=metric.equal,
        text=plain,
    )


def front_figure(content: StudyContent, quality: Quality) -> Figure:
    """Every setting that was tried, the front with its intervals, the limit and the baseline."""
    with styled(6.6, 4.3, layout=None) as (figure, axes):
        figure.subplots_adjust(left=0.12, right=0.99, bottom=0.27, top=0.98)
        _draw_others(axes, content, quality)
        _draw_front(axes, content, quality)
        _draw_verification(axes, content, quality)
        _draw_references(axes, content, quality)
        axes.plot(1, quality.equal, "D", color=COLOURS["ink"], ms=6, label="baseline", zorder=5)
        left, right, bottom, top = _view(content, quality)
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
        _draw_limit(axes, quality, left)
        draw_labels(axes, _labels(content, quality), _marks(content, quality))
        axes.set_xlabel("speedup")
        axes.set_ylabel(quality.title)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: quality.text(value)))
        figure.legend(loc="lower center", ncols=3, handletextpad=0.4, columnspacing=1.6)
        return figure


def beyond(content: StudyContent, quality: Quality) -> int:
    """How many settings that were tried lie outside the figure."""
    left, right, bottom, top = _view(content, quality)
    return sum(
        not (left <= x <= right and bottom <= y <= top)
        for x, y in _points([*_others(content), *content.stopped, *content.references], quality)
    )


def _others(content: StudyContent) -> list[Result]:
    front = {result.trial for result in content.front}
    return [r for r in content.results if r.setting.accelerators and r.trial not in front]


def _points(results: Iterable[Figures], quality: Quality) -> list[tuple[float, float]]:
    figures = [(result.speedup.value, quality.of(result)) for result in results]
    return [(speedup, figure.value) for speedup, figure in figures if figure is not None]


def _draw_others(axes: Axes, content: StudyContent, quality: Quality) -> None:
    limits = content.goal.limits
    others = _others(content)
    groups = {
        "stopped early": (content.stopped, "x", 3.6, COLOURS["faint"]),
        "over a limit": ([r for r in others if not r.feasible(limits)], "o", 3.6, "none"),
        "within the limits": ([r for r in others if r.feasible(limits)], "o", 4, COLOURS["faint"]),
    }
    for label, (results, marker, size, fill) in groups.items():
        points = _points(results, quality)
        if points:
            axes.plot(
                *zip(*points, strict=True),
                marker,
                ms=size,
                mfc=fill,
                mec=COLOURS["faint"],
                mew=1,
                label=label,
                zorder=2,
            )


def _draw_front(axes: Axes, content: StudyContent, quality: Quality) -> None:
    drawn = [(result, quality.of(result)) for result in content.front]
    front = [(result, figure) for result, figure in drawn if figure is not None]
    if quality.title == "score loss" and len(front) > 1:
        line = [(result.speedup.value, figure.value) for result, figure in front]
        axes.plot(*zip(*line, strict=True), color=COLOURS["accent"], lw=1, alpha=0.45, zorder=3)
    groups: dict[str, list[tuple[Estimate, Estimate]]] = {}
    for result, figure in front:
        groups.setdefault(_kind(result, content), []).append((result.speedup, figure))
    for kind, points in groups.items():
        size, fill = FRONT[kind]
        _draw_estimates(axes, points, label=kind, ms=size, mfc=COLOURS[fill], mec=COLOURS["accent"])


def _kind(result: Result, content: StudyContent) -> str:
    if content.best is not None and result.trial == content.best.trial:
        return "best"
    feasible = result.feasible(content.goal.limits)
    return "front, within the limits" if feasible else "front, over a limit"


def _draw_verification(axes: Axes, content: StudyContent, quality: Quality) -> None:
    best = content.best
    if best is None or best.verified is None:
        return
    first, second = quality.of(best), quality.of(best.verified)
    if first is not None and second is not None:
        speeds = [best.speedup.value, best.verified.speedup.value]
        axes.plot(speeds, [first.value, second.value], ":", color=COLOURS["ink"], lw=1, zorder=3)
        points = [(best.verified.speedup, second)]
        label, fill, edge = "its verification", COLOURS["paper"], COLOURS["ink"]
        _draw_estimates(axes, points, label=label, marker="s", ms=5.5, mfc=fill, mec=edge)


def _draw_references(axes: Axes, content: StudyContent, quality: Quality) -> None:
    """The plain pipeline with fewer steps."""
    drawn = [(row, quality.of(row)) for row in content.references]
    rows = [(row, figure) for row, figure in drawn if figure is not None]
    if not rows:
        return
    points = [(row.speedup, figure) for row, figure in rows]
    grey = COLOURS["muted"]
    _draw_estimates(axes, points, label="fewer steps", marker="^", ms=6, mfc=grey, mec=grey)


def _labels(content: StudyContent, quality: Quality) -> list[Label]:
    """The numbers of steps of the plain pipeline, and of trials, the best setting's first."""
    best = -1 if content.best is None else content.best.trial
    front = sorted(content.front, key=lambda result: result.trial != best)
    rows = [(f"{row.steps} steps", row, True) for row in content.references]
    named = [(str(result.trial), result, False) for result in front]
    return [
        Label(text=text, x=figures.speedup.value, y=figure.value, left=left)
        for text, figures, left in (*named[:1], *rows, *named[1:])
        if (figure := quality.of(figures)) is not None
    ]


def _marks(content: StudyContent, quality: Quality) -> list[tuple[float, float]]:
    """The points that labels must not cover."""
    second = content.best.verified if content.best is not None else None
    verified = [] if second is None else [second]
    shown = _points([*content.front, *content.references, *verified], quality)
    return [*shown, (1.0, quality.equal)]


def _draw_estimates(
    axes: Axes,
    points: Sequence[tuple[Estimate, Estimate]],
    *,
    label: str,
    ms: float,
    mfc: str,
    mec: str,
    marker: str = "o",
) -> None:
    """Points of speedup and quality with their intervals, under one label of the legend."""
    speedups, figures = zip(*points, strict=True)
    axes.errorbar(
        [speedup.value for speedup in speedups],
        [figure.value for figure in figures],
        xerr=_lengths(speedups),
        yerr=_lengths(figures),
        marker=marker,
        ms=ms,
        mfc=mfc,
        mec=mec,
        mew=1.2,
        ecolor=to_rgba(mec, 0.5),
        elinewidth=1.2,
        ls="none",
        label=label,
        zorder=4,
    )


def _lengths(estimates: Sequence[Estimate]) -> np.ndarray:
    """How far intervals reach to both sides; nothing is drawn where one is infinite."""
    values = np.array([[e.value - e.low, e.high - e.value] for e in estimates]).T
    lengths: np.ndarray = np.where(np.isfinite(values), np.maximum(values, 0), np.nan)
    return lengths


def _draw_limit(axes: Axes, quality: Quality, left: float) -> None:
    if quality.limit is None:
        return
    axes.axhline(quality.limit, color=COLOURS["ink"], lw=1, ls=(0, (5, 3)), zorder=1)
    axes.annotate(
        f"limit {quality.text(quality.limit)}",
        (left, quality.limit),
        xytext=(4, 4),
        textcoords="offset points",
        fontsize=8.5,
        color=COLOURS["ink"],
    )


def _view(content: StudyContent, quality: Quality) -> tuple[float, float, float, float]:
    """Left, right, bottom and top: the front and its intervals, the baseline, and the limit.

    What was tried far beyond the limit would leave no room for the front.
    """
    xs, ys = [1.0], [quality.equal]
    if quality.limit is not None:
        ys.append(quality.equal + ROOM * (quality.limit - quality.equal))
    shown = [(result.speedup, quality.of(result)) for result in content.front]
    if content.best is not None and content.best.verified is not None:
        second = content.best.verified
        shown.append((second.speedup, quality.of(second)))
    shown += [(row.speedup, quality.of(row)) for row in _references_in_view(content, quality)]
    for speedup, figure in shown:
        xs += _ends(speedup)
        ys += [] if figure is None else _ends(figure)
    xs += [x for x, _ in _points(_others(content), quality)]
    left, right, bottom, top = min(xs), max(xs), min(ys), max(ys)
    wide, high = MARGIN * ((right - left) or 1), MARGIN * ((top - bottom) or 1)
    return left - wide, right + wide, bottom - high, top + high


def _references_in_view(content: StudyContent, quality: Quality) -> list[ReferenceRow]:
    """Rows up to twice as far from equal pictures as the limit; others would hide the front."""
    if quality.limit is None:
        return content.references
    most = 2 * abs(quality.limit - quality.equal)
    figures = [(row, quality.of(row)) for row in content.references]
    return [row for row, f in figures if f is not None and abs(f.value - quality.equal) <= most]


def _ends(estimate: Estimate) -> list[float]:
    ends = (estimate.value, estimate.low, estimate.high)
    return [float(end) for end in ends if np.isfinite(end)]
