"""Picture strips: the first batch of the baseline and of each trial, and the front beside them."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from PIL import Image

from tuner.errors import UsageError

MAX_SIDE = 256  # pixels of one picture in a strip
MAX_BYTES = 255  # of a file's name
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.I)  # names of devices on Windows


class PictureFolder:
    """Keeps strips in ``<root>/<study>/``; without a root it keeps nothing."""

    def __init__(self, root: Path | None, study: str) -> None:
        self.folder = None if root is None else root / folder_name(study)

    def saver(self, name: str) -> Any:
        """A function for `Evaluation.measure` that keeps the first batch as ``<name>.png``."""

        def save(batch: int, images: list[Any]) -> None:
            if self.folder is not None and batch == 0:
                self.folder.mkdir(parents=True, exist_ok=True)
                row([small(image) for image in images]).save(self.folder / f"{name}.png")

        return save

    def compare(self, names: list[str]) -> Path | None:
        """Stack the baseline's strip over others as ``front.png``; None without pictures."""
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
    """A study's name as that of one folder, which every file system takes.

    Slashes and spaces become underscores. Where more has to change, or the name is too long, a
    digest of the whole name tells it from others.
    """
    plain = study.replace("/", "_").replace(" ", "_")
    found = re.sub(r'[\\<>:"|?*]', "_", plain)
    found = "".join(one if one.isprintable() else "_" for one in found)
    if RESERVED.match(found) or found[:1] in ("", ".") or found[-1] == ".":
        found = f"_{found.strip('.')}"
    if found == plain and len(found.encode()) <= MAX_BYTES:
        return found
    digest = hashlib.sha256(study.encode(errors="surrogatepass")).hexdigest()[:8]
    cut = found.encode()[: MAX_BYTES - len(digest) - 1].decode(errors="ignore")
    return f"{cut}_{digest}"


def check_folder(root: Path | None) -> None:
    """Raise `UsageError` where pictures could not be kept there; writes nothing."""
    if root is None:
        return
    nearest = next(place for place in (root, *root.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise UsageError(f"{nearest} is a file; give --pictures a folder, or none")
    read_only = os.statvfs(nearest).f_flag & os.ST_RDONLY
    if read_only or not os.access(nearest, os.W_OK):
        raise UsageError(f"{nearest} cannot be written to; give --pictures a folder, or none")


def row(images: list[Any]) -> Image.Image:
    """Pictures side by side."""
    sheet = Image.new("RGB", (sum(i.width + 4 for i in images), images[0].height), "white")
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width + 4
    return sheet


def small(image: Any) -> Any:
    """At most `MAX_SIDE` pixels a side."""
    if max(image.size) <= MAX_SIDE:
        return image
    copy = image.copy()
    copy.thumbnail((MAX_SIDE, MAX_SIDE))
    return copy
