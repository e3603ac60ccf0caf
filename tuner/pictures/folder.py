"""The folder of a study's pictures."""

import hashlib
import re
from pathlib import Path

from tuner import places

MAX_BYTES = 255  # of a file's name
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.I)  # device names on Windows


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
    places.check_folder(root, "pictures must be a folder that can be written to, or 'none'")
