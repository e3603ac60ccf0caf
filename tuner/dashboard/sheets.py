"""The contact sheets of a study: of the baseline, of one trial, and of several side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from tuner.dashboard.pictures import baseline_picture
from tuner.measure.baseline_store import Store
from tuner.pictures.album import Entry, worst_first
from tuner.pictures.contact_sheet import Column, ContactSheet
from tuner.pictures.thumbnails import decoded

PROMPTS = 8  # of a sheet


def baseline_sheet(study: str, entries: Sequence[Entry]) -> ContactSheet:
    """The baseline's pictures, the lowest scores first."""
    lowest = sorted(entries, key=lambda entry: (entry.score, entry.number))[:PROMPTS]
    return ContactSheet(
        title=f"{study}: the baseline's pictures, lowest scores first",
        rows=["baseline"],
        columns=[
            Column(
                prompt=_named(entry),
                pictures=[decoded(entry.webp)],
                captions=[f"score {entry.score:.2f}"],
            )
            for entry in lowest
        ],
    )


def trial_sheet(name: str, entries: Sequence[Entry], database: Store) -> ContactSheet:
    """A trial below the baseline, the prompts that lost most first; `name` is its setting's."""
    title = "same prompts and noise; the prompts whose score fell most come first"
    return comparison({name: entries}, database, title, worst_first(entries)[:PROMPTS])


def comparison(
    trials: Mapping[str, Sequence[Entry]], database: Store, title: str, prompts: Sequence[Entry]
) -> ContactSheet:
    """Trials below the baseline and one another.

    Args:
        trials: the pictures of each trial, by what its row is called.
        database: has the baseline's pictures.
        title: of the sheet.
        prompts: entries of any of the trials, whose prompts are drawn, in this order.
    """
    by_number = [{entry.number: entry for entry in entries} for entries in trials.values()]
    columns = []
    for entry in prompts:
        pictures: list[Any] = [baseline_picture(database, entry)]
        captions = [f"baseline: score {entry.baseline_score:.2f}"]
        for entries in by_number:
            own = entries.get(entry.number)
            pictures.append(None if own is None else decoded(own.webp))
            captions.append("" if own is None else f"score {own.score:.2f} ({-own.loss:+.2f})")
        columns.append(Column(prompt=_named(entry), pictures=pictures, captions=captions))
    return ContactSheet(title=title, rows=["baseline", *trials], columns=columns)


def common_prompts(trials: Sequence[Sequence[Entry]], count: int) -> list[Entry]:
    """The prompts that most trials drew, then those that lost most in any of them."""
    drawn: dict[int, list[Entry]] = {}
    for entries in trials:
        for entry in entries:
            drawn.setdefault(entry.number, []).append(entry)

    def rank(entries: list[Entry]) -> tuple[int, float, int]:
        return -len(entries), -max(entry.loss for entry in entries), entries[0].number

    return [entries[0] for entries in sorted(drawn.values(), key=rank)[:count]]


def _named(entry: Entry) -> str:
    return f"{entry.number}: {entry.prompt}"
