"""The pictures of one trial with their prompts and scores, in one file: a zip archive."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from zipfile import ZIP_STORED, ZipFile

CONTENTS = "album.json"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One prompt of a trial."""

    number: int  # of the prompt
    prompt: str
    score: float  # of the trial's picture
    baseline_score: float  # of the baseline's picture of the same prompt and noise
    baseline_key: str  # under which the database has the baseline's picture
    webp: bytes  # the trial's picture, small

    @property
    def loss(self) -> float:
        """By how much the trial's picture scores less than the baseline's."""
        return self.baseline_score - self.score


def worst_first(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, those that lost most against the baseline first."""
    return sorted(entries, key=lambda entry: (-entry.loss, entry.number))


def packed(entries: Sequence[Entry]) -> bytes:
    """The bytes of an album's file."""
    file = io.BytesIO()
    with ZipFile(file, "w", ZIP_STORED) as archive:  # pictures are compressed already
        contents = []
        for entry in entries:
            name = f"{entry.number:04d}.webp"
            archive.writestr(name, entry.webp)
            contents.append({k: v for k, v in vars(entry).items() if k != "webp"} | {"file": name})
        archive.writestr(CONTENTS, json.dumps(contents, indent=1))
    return file.getvalue()


def unpacked(album: bytes) -> list[Entry]:
    """The entries of an album's file, in the order of their prompts' numbers."""
    with ZipFile(io.BytesIO(album)) as archive:
        contents = json.loads(archive.read(CONTENTS))
        entries = [Entry(webp=archive.read(item.pop("file")), **item) for item in contents]
    return sorted(entries, key=lambda entry: entry.number)
