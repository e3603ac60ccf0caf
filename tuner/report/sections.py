"""The sections of the page: a study with its figures and pictures, and a sweep's overview."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from matplotlib.figure import Figure

from tuner import registry
from tuner.formatting import count
from tuner.pictures.folder import folder_name
from tuner.report.conditions import conditions
from tuner.report.content import StudyContent
from tuner.report.figures.bars import cost_figure, importance_figure
from tuner.report.figures.front import beyond, front_figure, qualities
from tuner.report.figures.style import svg
from tuner.report.figures.sweep import sweep_figure
from tuner.report.pictures import SheetPicture, pictures_of
from tuner.study.formatting import Quantity, baseline_quantities, known_quantities


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure, and a sentence that says what it shows."""

    id: str  # on the page
    file: str  # its name without an ending
    caption: str
    figure: Figure

    @cached_property
    def svg(self) -> str:
        """It as an SVG file, which is drawn once for the page and for the file beside it."""
        return svg(self.figure)


@dataclass(frozen=True, kw_only=True)
class StudySection:
    """A study on the page."""

    content: StudyContent
    id: str  # on the page
    fronts: list[Drawn]  # the score loss, and each extra metric
    importance: Drawn | None
    cost: Drawn | None  # None for a study of a sweep, whose page would take long
    pictures: list[SheetPicture]

    @property
    def figures(self) -> list[Drawn]:
        """All figures."""
        return [*self.fronts, *(drawn for drawn in (self.importance, self.cost) if drawn)]

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The accelerators of its settings, each with its knobs in the order of a short form."""
        knobs = {
            part.name: "/".join(knob.name for knob in part.knobs())
            for result in (*self.content.results, *self.content.stopped)
            for part in result.setting.accelerators
        }
        return [
            (name, knobs[name]) for name in registry.components("accelerators") if name in knobs
        ]

    @property
    def conditions(self) -> list[tuple[str, str]]:
        """Names and values of the conditions under which it was measured."""
        return conditions(self.content)

    @property
    def metrics(self) -> list[tuple[str, str]]:
        """The extra metrics of the front: their names, and what their figures are called."""
        names = dict.fromkeys(name for result in self.content.front for name in result.fidelity)
        return [(name, registry.get("metrics", name).figure) for name in names]

    @property
    def quantities(self) -> list[Quantity]:
        """What else is known of the front, such as the memory."""
        return known_quantities([*self.content.front, *self.content.references])

    @property
    def of_baseline(self) -> dict[str, str]:
        """The quantities of the baseline by their titles, as text."""
        known = baseline_quantities(self.content.baseline)
        return {quantity.title: quantity.text_of(value) for quantity, value in known}


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What compares the studies of a sweep."""

    drawn: Drawn

    combinations: list[str]  # those with a feasible setting in some study
    speedups: dict[str, dict[str, float]]  # study → combination → speedup of its best setting


def sections_of(contents: Sequence[StudyContent]) -> list[StudySection]:
    """A section for each study."""
    pictures = pictures_of(contents)
    alone = len(contents) == 1
    return [
        _section(content, f"study-{number}", sheets, draws_cost=alone)
        for number, (content, sheets) in enumerate(zip(contents, pictures, strict=True), 1)
    ]


def _section(
    content: StudyContent, id: str, pictures: list[SheetPicture], *, draws_cost: bool
) -> StudySection:
    file = folder_name(content.name)
    importance = cost = None
    if content.importance.shares:
        importance = Drawn(
            id=f"{id}-importance",
            file=f"{file}-importance",
            caption="How much of the differences in speedup and in score loss each knob explains, "
            f"by a random forest that was fitted to {content.importance.settings} settings. Those "
            "over a limit are included, and stopped trials with the figures that they had.",
            figure=importance_figure(content.importance),
        )
    if draws_cost and content.costs.total.seconds:
        cost = Drawn(
            id=f"{id}-cost",
            file=f"{file}-cost",
            caption="The seconds that the study took, by purpose.",
            figure=cost_figure(content.costs),
        )
    return StudySection(
        content=content,
        id=id,
        fronts=list(_fronts(content, id, file)),
        importance=importance,
        cost=cost,
        pictures=pictures,
    )


def _fronts(content: StudyContent, id: str, file: str) -> Iterator[Drawn]:
    for number, quality in enumerate(qualities(content)):
        caption = (
            f"Speedup and {quality.title} of each setting that was tried; lines through a point "
            "are its 95% intervals, and numbers are those of trials."
        )
        outside = beyond(content, quality)
        if outside:
            more = count(outside, "more setting")
            caption += f" {more} {'lies' if outside == 1 else 'lie'} outside the figure."
        metric = f"-{quality.title.replace(' ', '-')}" if number else ""
        yield Drawn(
            id=f"{id}-front-{number}",
            file=f"{file}-front{metric}",
            caption=caption,
            figure=front_figure(content, quality),
        )


def overview_of(contents: Sequence[StudyContent]) -> Overview:
    """The overview of several studies."""
    speedups = {
        content.name: {c.name: c.best.speedup.value for c in content.combinations if c.best}
        for content in contents
    }
    return Overview(
        drawn=Drawn(
            id="sweep",
            file="sweep",
            caption="The speedup of the best setting of each study, with its 95% interval.",
            figure=sweep_figure(contents),
        ),
        combinations=sorted({name for row in speedups.values() for name in row}),
        speedups=speedups,
    )
