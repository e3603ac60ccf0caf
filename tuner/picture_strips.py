"""Picture strips: the first batch of the baseline and of each trial as image files."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from PIL import Image

from tuner.errors import UsageError

MAX_SIDE = 256  # pixels of one picture in a strip
MAX_BYTES = 255  # of a file's name
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.I)  # device names on Windows


class PictureFolder:
    """Saves strips in ``<root>/<study>/``; without a root it saves nothing."""

    def __init__(self, root: Path | None, study: str) -> None:
        self.folder = None if root is None else root / folder_name(study)

    def saver(self, name: str) -> Any:
        """A function for `Evaluation.measure` that saves the first batch as ``<name>.png``."""

        def save(batch: int, images: list[Any]) -> None:
            if self.folder is not None and batch == 0:
                self.folder.mkdir(parents=True, exist_ok=True)
                side_by_side([shrunk(image) for image in images]).save(self.folder / f"{name}.png")

        return save

    def compare(self, names: list[str]) -> Path | None:
        """Save the strips of the baseline and of `names`, stacked, as ``front.png``.

        Returns the file's path, or None where there are no strips.
        """
        if self.folder is None:
            return None
        files = [self.folder / f"{name}.png" for name in ("baseline", *names)]
        strips = [Image.open(file) for file in files if file.is_file()]
        if not strips:
            return None
        height = sum(strip.height + 4 for strip in strips)
        sheet = Image.new("RGB", (max(strip.width for strip in strips), height), "white")
        top = 0
        for strip in strips:
            sheet.paste(strip, (0, top))
            top += strip.height + 4
        path = self.folder / "front.png"
        sheet.save(path)
        return path


def folder_name(study: str) -> str:
    """A folder name for a study that is valid on every file system.

    Slashes and spaces become underscores. Where more has to change, or the name is too long, a
    digest of the study's name is added, so that different studies have different folders.
    """
    plain = study.replace("/", "_").replace(" ", "_")
    valid = re.sub(r'[\\<>:"|?*]', "_", plain)
    valid = "".join(letter if letter.isprintable() else "_" for letter in valid)
    if RESERVED.match(valid) or valid[:1] in ("", ".") or valid[-1] == ".":
        valid = f"_{valid.strip('.')}"
    if valid == plain and len(valid.encode()) <= MAX_BYTES:
        return valid
    digest = hashlib.sha256(study.encode(errors="surrogatepass")).hexdigest()[:8]
    cut = valid.encode()[: MAX_BYTES - len(digest) - 1].decode(errors="ignore")
    return f"{cut}_{digest}"


def check_folder(root: Path | None) -> None:
    """Raise `UsageError` where pictures cannot be saved in the folder; writes nothing."""
    if root is None:
        return
    nearest = next(place for place in (root, *root.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise UsageError(f"{nearest} is a file; pictures must be a folder, or 'none'")
    read_only = os.statvfs(nearest).f_flag & os.ST_RDONLY
    if read_only or not os.access(nearest, os.W_OK):
        raise UsageError(
            f"{nearest} cannot be written to; pictures must be a writable folder, or 'none'"
        )


def side_by_side(images: list[Any]) -> Image.Image:
    """One picture of several of the same height, in a row."""
    sheet = Image.new("RGB", (sum(i.width + 4 for i in images), images[0].height), "white")
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width + 4
    return sheet


def shrunk(image: Any) -> Any:
    """The picture with at most `MAX_SIDE` pixels on each side."""
    if max(image.size) <= MAX_SIDE:
        return image
    copy = image.copy()
    copy.thumbnail((MAX_SIDE, MAX_SIDE))
    return copy
