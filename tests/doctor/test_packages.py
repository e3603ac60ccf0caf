"""The packages that a search needs: as they are declared, and as they are installed."""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tuner.doctor import packages
from tuner.doctor.finding import Status


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[list[str]], None]:
    """Have an installed package, and no clone, declare some requirements."""

    def declare(lines: list[str]) -> None:
        monkeypatch.setattr(packages, "PYPROJECT", tmp_path / "pyproject.toml")
        monkeypatch.setattr(packages, "requires", lambda name: lines)

    return declare


def test_what_a_search_needs_is_declared_with_its_versions() -> None:
    required, extras = packages.declared()
    needed = {requirement.name: str(requirement.specifier) for requirement in required}
    assert {"torch", "optuna", "DeepCache", "open_clip_torch"} <= set(needed)
    assert needed["optuna"] == ">=5"
    assert "pytest" not in needed
    assert {requirement.name for requirement in extras["pixart"]} == {"beautifulsoup4", "ftfy"}


def test_this_environment_has_all_that_a_search_needs() -> None:
    first, *others = packages.packages()
    assert first.status is Status.OK
    assert f"torch {version('torch')}" in first.text
    assert {finding.status for finding in others} <= {Status.NOTE}


@pytest.mark.parametrize(
    ("requirement", "problem"),
    [
        ("optuna>=5", None),
        ("optuna>=99", f"optuna {version('optuna')} is installed, but >=99 is needed"),
        ("no-such-package", "no-such-package is not installed"),
    ],
)
def test_a_package_is_checked_against_its_range(requirement: str, problem: str | None) -> None:
    assert packages.problem_of(Requirement(requirement)) == problem


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    installed: Callable[[list[str]], None],
) -> None:
    installed(["torch", "no-such-package>=2"])
    (finding,) = packages.packages()
    assert finding.status is Status.MISSING
    assert finding.text == "no-such-package is not installed"
    assert finding.remedy == "pip install --upgrade 'diffusion-tuner'"


def test_a_missing_package_of_an_extra_is_a_note(
    installed: Callable[[list[str]], None],
) -> None:
    declared = ["torch", "no-such-package ; extra == 'pixart'", "nor-this ; extra == 'dev'"]
    installed(declared)
    first, extra = packages.packages()
    assert first.status is Status.OK
    assert (extra.name, extra.status) == ("extra pixart", Status.NOTE)
    assert extra.remedy == "pip install 'diffusion-tuner[pixart]'"


def test_what_a_search_needs_besides_is_required_and_installed_by_its_extra(
    installed: Callable[[list[str]], None],
) -> None:
    declared = ["torch", 'no-such-package ; extra == "search"']
    installed(declared)
    (finding,) = packages.packages()
    assert finding.status is Status.MISSING
    assert finding.remedy == "pip install --upgrade 'diffusion-tuner[search]'"
