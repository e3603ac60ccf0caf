"""Studies to report on, and a reader of the page."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import optuna

from tests.helpers.simulated import Bench, measurement
from tuner.measure.account import Account, Purpose
from tuner.report.write import write_report
from tuner.search.goal import Goal
from tuner.storage.database import Storage
from tuner.study.baseline import set_baseline
from tuner.study.identity import request
from tuner.study.recording import store_cost, store_verification
from tuner.study.results import Result, read_results

BASELINE = {"latency_s": 1.0, "score": 30.0, "num_samples": 2}
HOSTILE = '<script>alert(1)</script>"><img src=http://example.org/x>&amp;'
TRIED = ("trial", "setting", "speedup", "95% interval", "score loss")  # head of that table
EMPTY = {"br", "hr", "img", "input", "link", "meta"}  # elements without an end tag


def finished(bench: Bench, **changes: Any) -> optuna.Study:
    """The study of a bench with what a run stores besides its trials."""
    study = bench.study
    study.set_user_attr("request", request(bench.spec) | changes)
    study.set_user_attr("pipeline", "StableDiffusionPipeline")
    study.set_user_attr("versions", {"torch": "2.15.0"})
    set_baseline(study, dict(BASELINE))
    account = Account()
    account.add(Purpose.BASELINE, 2.0, 2)
    account.add(Purpose.VERIFICATION, 10.0, 8)
    store_cost(study, "a run", account)
    return study


def searched(bench: Bench) -> optuna.Study:
    """The study of a bench after its trials."""
    bench.search()
    return finished(bench)


def opened(database: bytes, folder: Path) -> optuna.Study:
    """The only study of a database, which is written to a folder."""
    (folder / "tuner.db").write_bytes(database)
    storage = Storage(f"sqlite:///{folder / 'tuner.db'}", create=False)
    return storage.study(storage.study_names()[0])


def goal_of(study: optuna.Study) -> Goal:
    """The goal of the study's last run."""
    return Goal.of_request(study.user_attrs["request"])


def verify(study: optuna.Study, *, loss: float) -> Result:
    """Verify the best setting, with a score loss; returns its result from before that."""
    goal = goal_of(study)
    best = goal.reached(read_results(study))
    assert best is not None
    first = measurement(best.setting)
    estimate = replace(first.score_loss, value=loss, low=loss - 0.001, high=loss + 0.001)
    second = replace(first, score_loss=estimate, prompts=64)
    store_verification(study, best.trial, second, goal.limits)
    return best


@dataclass
class Element:
    """An element of the page: its attributes, and its text with that of the elements in it."""

    name: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """A page that was read; an element without its end tag is an error."""

    source: str
    elements: list[Element] = field(default_factory=list)
    _open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Read the page to its end."""
        super().__init__()
        self.feed(self.source)
        self.close()
        assert not self._open, f"never closed: {[element.name for element in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in EMPTY:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].name == tag, f"</{tag}> ends <{self._open[-1].name}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, name: str) -> list[Element]:
        """The elements of this name, in the order of the page."""
        return [element for element in self.elements if element.name == name]

    @property
    def text(self) -> str:
        """The visible text, with single spaces."""
        (body,) = self.all("body")
        return " ".join(body.text.split())

    def rows(self, *columns: str) -> list[list[str]]:
        """The cells of the first table whose head begins with these columns."""
        rows: list[list[str]] = []
        for element in self.elements:
            if element.name == "tr":
                rows.append([])
            elif element.name in ("td", "th"):
                rows[-1].append(" ".join(element.text.split()))
        heads = [index for index, row in enumerate(rows) if tuple(row[: len(columns)]) == columns]
        (begin, *_) = heads
        width = len(rows[begin])
        body = []
        for row in rows[begin + 1 :]:
            if not row or row[0] in ("study", "trial", "accelerators", "purpose"):
                break
            body.append(row)
        assert width, "the table has no columns"
        return body


def page_of(studies: Sequence[optuna.Study], folder: Path, **beside: Path) -> Page:
    """The page that is written for studies."""
    file = folder / "report.html"
    write_report(studies, file, **beside)
    return Page(file.read_text(encoding="utf-8"))
