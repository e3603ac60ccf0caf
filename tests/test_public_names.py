"""What `tuner` exports: names that resolve, are typed, and cost nothing before they are used."""

import ast
import subprocess
import sys
import tomllib
from importlib.util import resolve_name
from pathlib import Path

import pytest

import tuner
from tuner import errors

ROOT = Path(tuner.__file__).parent.parent
HEAVY = (
    "torch",
    "diffusers",
    "transformers",
    "open_clip",
    "datasets",
    "scipy",
    "sklearn",
    "optuna",
)


def imported_after(statement: str) -> set[str]:
    """The heavy libraries that a fresh interpreter has imported after a statement."""
    program = f"import sys\n{statement}\nprint(*(set({HEAVY}) & set(sys.modules)))"
    finished = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    return set(finished.stdout.split())


@pytest.mark.parametrize("name", tuner.__all__)
def test_every_exported_name_resolves(name: str) -> None:
    value = getattr(tuner, name)
    assert value.__name__ == name
    assert value.__doc__


def test_importing_tuner_alone_imports_no_heavy_library() -> None:
    assert not imported_after("import tuner; dir(tuner)")


@pytest.mark.parametrize("name", ["UsageError", "Setting", "StudySpec"])
def test_names_that_need_no_model_import_no_torch(name: str) -> None:
    assert "torch" not in imported_after(f"from tuner import {name}")


def test_type_checkers_see_each_name_in_the_module_that_it_is_imported_from() -> None:
    tree = ast.parse(Path(tuner.__file__).read_text(encoding="utf-8"))
    checked = next(
        statement
        for statement in tree.body
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"
    )
    typed = {
        alias.name: resolve_name(str(statement.module), None)
        for statement in checked.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert typed == tuner._MODULES
    assert sorted(typed) == tuner.__all__
    assert (Path(tuner.__file__).parent / "py.typed").is_file()


def test_every_error_is_exported() -> None:
    tree = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.TunerError)
    }
    assert tree <= set(tuner.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = tuner.no_such_name


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert tuner.__version__ == project["version"]
    assert f"version: {project['version']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
