"""Whether files and folders can be written, found out before anything is."""

import os
from pathlib import Path

from tuner.errors import UsageError


def can_write(folder: Path) -> bool:
    """Whether files can be written in a folder that exists."""
    read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
    return not read_only and os.access(folder, os.W_OK)


def check_name(place: Path) -> None:
    """Raise `UsageError` for what no file or folder can be called, or where nobody may look."""
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:  # ValueError: a NUL byte, or half of a surrogate pair
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"cannot use {str(place)[:80]!r}: {reason}; choose another name"
        ) from error


def nearest_existing(place: Path) -> Path:
    """The place itself, or the nearest folder above it that exists."""
    return next(above for above in (place, *place.absolute().parents) if above.exists())


def check_folder(folder: Path, hint: str) -> None:
    """Raise `UsageError` where a folder cannot be made or written in; `hint` says what would work.

    Nothing is written.
    """
    check_name(folder)
    nearest = nearest_existing(folder)
    if not nearest.is_dir():
        raise UsageError(f"{nearest} is a file; {hint}")
    if not can_write(nearest):
        raise UsageError(f"{nearest} cannot be written to; {hint}")


def check_file(file: Path) -> None:
    """Raise `UsageError` where a file cannot be written or replaced; nothing is written."""
    check_name(file)
    if file.is_dir():
        raise UsageError(f"cannot write {file}: it is a folder; name a file")
    if not file.parent.is_dir():
        raise UsageError(
            f"cannot write {file}: there is no folder {file.parent}; create it, or choose "
            "another file"
        )
    if not can_write(file.parent):
        raise UsageError(
            f"cannot write {file}: the folder {file.parent} cannot be written to; choose another "
            "file"
        )
