"""Files and folders that a `search_params.json` names, which somebody else may have written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuner.errors import UsageError
from tuner.given_files import is_file, is_folder


def check_places(path: Path, study: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Refuse code, and prompts and weights outside the file's folder and the current one.

    Args:
        path: the file.
        study: one of its studies.
        changes: what the user names instead; whatever they name is read.

    Raises:
        UsageError: the study names such a file or folder, or a function of a Python file.
    """
    for name in ("pipeline", "call"):
        code = study.get("own", {}).get(name)
        if isinstance(code, str) and changes.get(name) is None:
            raise UsageError(
                f"{path} names the code {code} as its {name}; code that only a file names is not "
                f"run; if you trust that code, set {name} to it"
            )
    for name in ("prompts", "model"):
        place = study.get(name)
        if not isinstance(place, str) or changes.get(name) is not None:
            continue
        named = next(
            (Path(text) for text in _texts(place) if is_file(text) or is_folder(text)), None
        )
        if named is not None and not _is_below(named, path.parent, Path()):
            raise UsageError(
                f"{path} names {named} as its {name}, which is neither in that file's folder nor "
                f"in the current one; to use it all the same, set {name} to it"
            )


def _texts(place: str) -> tuple[str, ...]:
    """The place, and without the column of a table behind it."""
    return place, place.rpartition(":")[0]


def _is_below(place: Path, *folders: Path) -> bool:
    resolved = place.resolve()
    return any(resolved.is_relative_to(folder.resolve()) for folder in folders)
