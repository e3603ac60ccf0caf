"""The Python packages: which are installed, and whether in the supported range."""

import platform
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from tuner.doctor.finding import Finding, Status

DISTRIBUTION = "diffusion-tuner"
SEARCH = "search"  # the extra with what a search needs besides
FOR_DEVELOPERS = ("dev", "docs")
SHOWN = (
    "torch", "diffusers", "transformers", "optuna", "DeepCache", "tomesd", "tgate",
    "open_clip_torch",
)  # fmt: skip
PYPROJECT = Path(__file__).parent.parent.parent / "pyproject.toml"  # of a clone


def packages() -> Iterator[Finding]:
    """Python, the packages that a search needs, and those of the optional extras."""
    required, extras = declared()
    problems = [problem for problem in map(problem_of, required) if problem is not None]
    extra = f"[{SEARCH}]" if SEARCH in extras else ""
    yield Finding(
        name="packages",
        status=Status.MISSING if problems else Status.OK,
        text="; ".join(problems) or _versions(),
        remedy=f"pip install --upgrade '{DISTRIBUTION}{extra}'" if problems else None,
    )
    for name, members in sorted(extras.items()):
        if name == SEARCH or name in FOR_DEVELOPERS:
            continue
        problems = [problem for problem in map(problem_of, members) if problem is not None]
        if problems:
            yield Finding(
                name=f"extra {name}",
                status=Status.NOTE,
                text="; ".join(problems),
                remedy=f"pip install '{DISTRIBUTION}[{name}]'",
            )


def declared() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """What a search needs, and what each extra brings, as the package declares it."""
    # What is declared beside the code counts: the metadata of a clone may be older.
    lines = _of_clone() if PYPROJECT.is_file() else requires(DISTRIBUTION) or []
    required: list[Requirement] = []
    extras: dict[str, list[Requirement]] = {}
    for requirement in map(Requirement, lines):
        if requirement.name.lower() == DISTRIBUTION:
            continue  # an extra that contains another one
        names = _extras_of(requirement)
        for name in names:
            extras.setdefault(name, []).append(requirement)
        if SEARCH in names or (not names and _applies(requirement)):
            required.append(requirement)
    return required, extras


def problem_of(requirement: Requirement) -> str | None:
    """What is wrong with an installed package, in a few words; None if nothing is."""
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(installed, prereleases=True):
        return None
    return f"{requirement.name} {installed} is installed, but {requirement.specifier} is needed"


def _of_clone() -> list[str]:
    """The requirements of a clone, as the metadata of an installed package has them."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    lines: list[str] = list(project["dependencies"])
    for extra, members in project.get("optional-dependencies", {}).items():
        lines += [f"{member} ; extra == '{extra}'" for member in members]
    return lines


def _extras_of(requirement: Requirement) -> list[str]:
    """The extra that a requirement belongs to, if any; read from its marker."""
    return re.findall(r"""extra == ["']([^"']+)["']""", str(requirement.marker or ""))


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate()


def _versions() -> str:
    shown = [f"Python {platform.python_version()}"]
    for name in SHOWN:
        try:
            shown.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(shown)
