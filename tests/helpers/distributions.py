"""What an installation of this package brings, from the metadata of the installed packages."""

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tuner

ROOT = Path(tuner.__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def named(requirements: Iterable[str]) -> set[str]:
    """The names of packages in requirements such as 'optuna>=5', in their canonical form."""
    return {str(canonicalize_name(Requirement(text).name)) for text in requirements}


def brought_by(requirements: Iterable[str]) -> set[str]:
    """The packages that installing requirements brings, those that they need in turn included."""
    brought: set[str] = set()
    missing = [Requirement(text) for text in requirements]
    while missing:
        needed = missing.pop()
        name = str(canonicalize_name(needed.name))
        if name in brought:
            continue
        brought.add(name)
        for text in metadata.requires(name) or ():
            further = Requirement(text)
            environments = [{"extra": extra} for extra in (needed.extras or {""})]
            if further.marker is None or any(map(further.marker.evaluate, environments)):
                missing.append(further)
    return brought


LIGHT = brought_by(PROJECT["dependencies"])  # by `pip install diffusion-tuner`


packages_distributions = cache(metadata.packages_distributions)


def modules_of(packages: Iterable[str]) -> set[str]:
    """The names by which packages are imported."""
    wanted = set(packages)
    return {
        module
        for module, names in packages_distributions().items()
        if wanted & {str(canonicalize_name(name)) for name in names}
    }
