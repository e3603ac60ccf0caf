"""Each remedy for a known package bug is needed: without it, the tests listed with it fail.

A copy of the source is changed, one remedy after the other, and the tests of the copy run in a
separate process. `python -m tests.mutation` prints the list of remedies as a table.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.remedies import REMOVALS, Removal

ROOT = Path(__file__).parent.parent.parent
each_removal = pytest.mark.parametrize(
    "removal", REMOVALS, ids=lambda removal: f"{removal.bug} {removal.remedy.split('`')[1]}"
)


@each_removal
def test_the_text_of_every_remedy_occurs_in_its_file_once(removal: Removal) -> None:
    for name, text, _ in removal.replacements:
        assert (ROOT / "tuner" / name).read_text().count(text) == 1
    for test in removal.tests:
        file, name = test.split("::")
        assert f"def {name.split('[')[0]}(" in (ROOT / file).read_text()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source and its tests."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("tuner", "tests", "studies"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("cli.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def failing(copy: Path, tests: list[str]) -> set[str]:
    """Run tests in the copy; the ids of those that fail."""
    command = [sys.executable, "-m", "pytest", "--tb=no", "-rfE", "-p", "no:cacheprovider", *tests]
    finished = subprocess.run(
        command,
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert finished.returncode in (0, 1), finished.stdout + finished.stderr
    return set(re.findall(r"^(?:FAILED|ERROR) (\S+::\S+)", finished.stdout, re.MULTILINE))


@pytest.mark.slow
def test_with_all_remedies_no_test_fails(copy: Path) -> None:
    assert not failing(copy, sorted({test for removal in REMOVALS for test in removal.tests}))


@pytest.mark.slow
@each_removal
def test_without_a_remedy_its_tests_fail(removal: Removal, copy: Path) -> None:
    files = {copy / "tuner" / name for name, _, _ in removal.replacements}
    sources = {file: file.read_text(encoding="utf-8") for file in files}
    for name, text, instead in removal.replacements:
        file = copy / "tuner" / name
        file.write_text(file.read_text(encoding="utf-8").replace(text, instead), encoding="utf-8")
    try:
        failed = failing(copy, list(removal.tests))
    finally:
        for file, source in sources.items():
            file.write_text(source, encoding="utf-8")
    passed = [test for test in removal.tests if not any(id_.startswith(test) for id_ in failed)]
    assert not passed, f"pass without the remedy ({removal.remedy}): {passed}"
