"""The pictures of a study's trials: collected while they are measured, stored, and read again.

The baseline's pictures lie in the database, one for each prompt, under a key of everything that
changes them: every study and every run that draws the same prompt in the same way finds them. A
trial's pictures lie together in one file, an album, in the study's artifact store.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna

from tuner.measure.baseline_store import Store
from tuner.measure.cache_keys import key_of
from tuner.measure.measurement import Measurement
from tuner.pictures.album import Entry, packed, unpacked
from tuner.pictures.thumbnails import decoded, encoded
from tuner.storage.artifacts import ArtifactStore, hidden_of, put_hidden
from tuner.storage.log import log_of
from tuner.storage.optuna_names import OURS
from tuner.study.schema import SAME_AS

KEPT = 256  # pictures of prompts with higher numbers are not kept: the score alone tells of them
ALBUM = "album"  # names the file of a trial's pictures
KIND = "thumbnail"  # of what the database holds
NOT_IN_PICTURES = ("prompts", "metric")  # parts of a score's key that do not change a picture


@dataclass(frozen=True, kw_only=True)
class PictureStore:
    """Keeps the pictures of one study.

    Args:
        study: the study.
        store: where albums go.
        database: where the baseline's pictures go.
        parts: what changes scores (`Evaluation.score_parts`).
        texts: the prompts of numbers.
    """

    study: optuna.Study
    store: ArtifactStore
    database: Store
    parts: Mapping[str, Any]
    texts: Callable[[range], list[str]]
    running: dict[int, bytes] = field(default_factory=dict)  # number -> picture, of one trial

    def keep_baseline(self, numbers: range, pictures: list[Any]) -> None:
        """Store a batch of the baseline's pictures; an `OnPictures`."""
        for number, prompt, picture in zip(numbers, self.texts(numbers), pictures, strict=True):
            if number < KEPT:
                webp = base64.b64encode(encoded(picture)).decode()
                self.database.put(KIND, self._key(number, prompt), {}, {"webp": webp})

    def begin_trial(self) -> None:
        """Discard the pictures of the trial before."""
        self.running.clear()

    def keep(self, numbers: range, pictures: list[Any]) -> None:
        """Keep a batch of the running trial's pictures; an `OnPictures`."""
        for number, picture in zip(numbers, pictures, strict=True):
            if number < KEPT:
                self.running[number] = encoded(picture)

    def end_trial(self, trial: int, measured: Measurement) -> None:
        """Store the pictures of a trial that completed, as its album."""
        scores = zip(measured.numbers, measured.scores, measured.baseline_scores, strict=True)
        entries = [
            self._entry(number, self.running[number], score, before)
            for number, score, before in scores
            if number in self.running
        ]
        self.running.clear()
        if entries:
            put_hidden(self.study, self.store, trial, ALBUM, packed(entries))

    def baseline(self, scores: Sequence[float]) -> list[Entry]:
        """The baseline's own pictures, as far as they are stored; `scores` are by number."""
        entries = []
        for number, score in enumerate(scores[:KEPT]):
            (prompt,) = self.texts(range(number, number + 1))
            stored = self.database.get(KIND, self._key(number, prompt))
            if stored is not None:
                webp = base64.b64decode(stored["webp"])
                entries.append(self._entry(number, webp, score, score))
        return entries

    def _entry(self, number: int, webp: bytes, score: float, before: float) -> Entry:
        (prompt,) = self.texts(range(number, number + 1))
        return Entry(
            number=number,
            prompt=prompt,
            score=score,
            baseline_score=before,
            baseline_key=self._key(number, prompt),
            webp=webp,
        )

    def _key(self, number: int, prompt: str) -> str:
        parts = {name: part for name, part in self.parts.items() if name not in NOT_IN_PICTURES}
        return key_of(parts | {"number": number, "prompt": prompt})


def trials_with_pictures(study: optuna.Study) -> list[int]:
    """The numbers of the trials that have pictures of their own."""
    return [number for number, _, _ in log_of(study).system_attributes(f"{OURS}{ALBUM}")]


def entries_of(study: optuna.Study, store: ArtifactStore, trial: int) -> list[Entry]:
    """The pictures of a trial, or of the trial whose figures it took over; empty where none are."""
    stored = log_of(study).trial(trial).user_attrs
    album = hidden_of(study, store, stored.get(SAME_AS, trial), ALBUM)
    return [] if album is None else unpacked(album)


def baseline_picture(database: Store, entry: Entry) -> Any:
    """The baseline's picture (`PIL.Image`) of an entry's prompt; None where it was not kept."""
    stored = database.get(KIND, entry.baseline_key)
    return None if stored is None else decoded(base64.b64decode(stored["webp"]))
