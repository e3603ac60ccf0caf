"""The figures as files: drawn with the values of the database, as SVG and as PNG."""

import io
from dataclasses import replace
from math import inf
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import optuna
import pytest
from matplotlib.axes import Axes
from PIL import Image

from tests.report.studies import opened, verify
from tuner.measure.statistics import Estimate
from tuner.report.content import StudyContent, read_content
from tuner.report.figures.front import beyond, front_figure, qualities
from tuner.report.figures.style import COLOURS, DARK, inline, png, svg
from tuner.report.figures.sweep import sweep_figure
from tuner.report.write import write_report
from tuner.study.reference import ReferenceRow


@pytest.fixture(scope="module")
def content(database: bytes, tmp_path_factory: pytest.TempPathFactory) -> StudyContent:
    """A study with a verified best setting."""
    study = opened(database, tmp_path_factory.mktemp("verified"))
    verify(study, loss=0.004)
    return read_content(study)


def drawn(axes: Axes) -> dict[str, np.ndarray]:
    """The points in a figure by their labels; those with intervals are containers."""
    lines = {str(line.get_label()): line for line in axes.lines}
    lines |= {str(c.get_label()): c.lines[0] for c in axes.containers}
    return {label: np.asarray(line.get_xydata()) for label, line in lines.items()}


def test_the_front_has_the_baseline_the_best_setting_and_its_verification(
    content: StudyContent,
) -> None:
    (axes,) = front_figure(content, qualities(content)[0]).axes
    points, best = drawn(axes), content.best
    assert best is not None
    assert best.verified is not None
    assert points["baseline"].tolist() == [[1.0, 0.0]]
    assert points["best"].tolist() == [[best.speedup.value, best.score_loss.value]]
    second = best.verified
    assert points["its verification"].tolist() == [[second.speedup.value, second.score_loss.value]]
    assert "limit 2%" in [text.get_text() for text in axes.texts]


def test_each_extra_metric_has_a_figure_whose_baseline_is_where_equal_pictures_are(
    content: StudyContent,
) -> None:
    ssim = {"ssim": Estimate(value=0.9, low=0.8, high=0.95)}
    measured = replace(content, results=[replace(r, fidelity=ssim) for r in content.results])
    by_title = {quality.title: quality for quality in qualities(measured)}
    assert list(by_title) == ["score loss", "ssim"]
    (axes,) = front_figure(measured, by_title["ssim"]).axes
    assert drawn(axes)["baseline"].tolist() == [[1.0, 1.0]]


def test_fewer_steps_are_drawn_into_the_front(content: StudyContent) -> None:
    row = ReferenceRow(
        steps=25,
        prompts=2,
        speedup=Estimate(value=2.0, low=1.9, high=2.1),
        score_loss=Estimate(value=0.01, low=0.0, high=0.02),
        score=29.7,
        latency_s=0.5,
    )
    (axes,) = front_figure(replace(content, references=[row]), qualities(content)[0]).axes
    assert drawn(axes)["fewer steps"].tolist() == [[2.0, 0.01]]
    assert "25 steps" in [text.get_text() for text in axes.texts]


def test_settings_far_over_the_limit_are_counted_instead_of_drawn(content: StudyContent) -> None:
    loss = qualities(content)[0]
    before = beyond(content, loss)
    far = replace(content.results[0], score_loss=Estimate(value=0.9, low=0.8, high=inf))
    assert beyond(replace(content, stopped=[*content.stopped, far]), loss) == before + 1
    bottom, top = front_figure(content, loss).axes[0].get_ylim()
    assert bottom < 0 < 0.02 < top < 0.9


def test_a_sweep_has_a_row_for_each_study(content: StudyContent) -> None:
    (axes,) = sweep_figure([content, replace(content, name="other", results=[])]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [content.name, "other"]


def test_on_the_page_a_figure_uses_the_colours_of_the_page(content: StudyContent) -> None:
    file = svg(front_figure(content, qualities(content)[0]))
    element = inline(file, "study-1-front", "what it shows")
    root = ElementTree.fromstring(element)
    assert root.attrib["aria-label"] == "what it shows"
    assert "width" not in root.attrib
    assert "var(--accent)" in element
    assert not any(colour in element for colour in COLOURS.values())
    assert COLOURS.keys() == DARK.keys()


def test_the_figures_are_written_as_svg_and_png(study: optuna.Study, tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    write_report([study], tmp_path / "report.html", figures=folder)
    names = {file.name for file in folder.iterdir()}
    stems = {"front", "importance", "cost"}
    assert names == {f"miniature_DDIM_50-{stem}.{end}" for stem in stems for end in ("svg", "png")}
    for file in folder.glob("*.svg"):
        assert ElementTree.parse(file).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert Image.open(folder / "miniature_DDIM_50-front.png").size == (1320, 860)


def test_the_same_figure_is_the_same_file(content: StudyContent) -> None:
    figures = [front_figure(content, qualities(content)[0]) for _ in range(2)]
    assert svg(figures[0]) == svg(figures[1])
    assert Image.open(io.BytesIO(png(figures[0]))).format == "PNG"
