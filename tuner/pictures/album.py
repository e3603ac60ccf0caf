"""The pictures of one trial with their prompts and scores, in one file: a zip archive."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zipfile import ZIP_STORED, ZipFile

from tuner.given_files import parsed_json

CONTENTS = "album.json"
MOST_ENTRIES = 10_000
MOST_BYTES = 4_000_000  # of a file in an album; a stored picture has about 20,000
TYPES = {"number": int, "prompt": str, "score": float, "baseline_score": float, "baseline_key": str}


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
    """The entries of an album's file, in the order of their prompts' numbers.

    Raises:
        ValueError: it is damaged, or is not what `packed` makes.
    """
    try:
        with ZipFile(io.BytesIO(album)) as archive:
            contents = parsed_json(_read(archive, CONTENTS).decode())[:MOST_ENTRIES]
            entries = [_entry(archive, item) for item in contents]
    except Exception as error:  # zipfile and zlib raise many kinds for damaged archives
        raise ValueError(f"this is not an album of pictures: {error}") from error
    return sorted(entries, key=lambda entry: entry.number)


def _entry(archive: ZipFile, item: dict[str, Any]) -> Entry:
    values = {name: kind(item[name]) for name, kind in TYPES.items()}
    return Entry(webp=_read(archive, item["file"]), **values)


def _read(archive: ZipFile, name: str) -> bytes:
    """A file of an archive, which may claim to be small when it is compressed."""
    if archive.getinfo(name).file_size > MOST_BYTES:
        raise ValueError(f"{name} is too large")
    return archive.read(name)
