"""The site of the documentation: its reference is made from the code, and it builds strictly."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tuner
from tests.documents.markdown import DOCS, ROOT
from tuner.cli.study_flags import study_flags
from tuner.study_files import KEYS


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Path -> the Markdown of each page that is made when the site is built."""
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: dict[str, str] = module.pages()
    return made


def test_the_command_line_reference_has_every_command_and_every_flag_of_a_study(
    pages: dict[str, str],
) -> None:
    page = pages["reference/cli.md"]
    for command in ("init", "run", "verify", "show", "export", "dashboard"):
        assert f"\n## tuner {command}\n" in page
    for action in study_flags()._actions:
        assert f"`{action.option_strings[0]}" in page


def test_the_reference_of_study_files_has_every_key(pages: dict[str, str]) -> None:
    page = pages["reference/study-file.md"]
    assert all(f"\n| `{key}` | " in page for key in KEYS)
    assert "\n## [knobs.deepcache]\n" in page
    assert "| `cache_interval` | whole number, " in page


def test_the_reference_of_python_has_every_public_name(pages: dict[str, str]) -> None:
    assert all(f"\n::: tuner.{name}\n" in pages["reference/python.md"] for name in tuner.__all__)


def test_tables_of_the_reference_have_the_same_number_of_cells_in_every_row(
    pages: dict[str, str],
) -> None:
    for page in pages.values():
        for block in page.split("\n\n"):
            rows = [line for line in block.splitlines() if line.startswith("|")]
            cells = {row.replace("\\|", "").count("|") for row in rows}
            assert len(cells) <= 1, rows


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
    )
    assert finished.returncode == 0, finished.stderr
    assert "WARNING" not in finished.stderr
    for page, words in {
        "index.html": "diffusion-tuner",
        "reference/cli/index.html": "--search-targets",
        "reference/python/index.html": "Accelerate a pipeline for good",
    }.items():
        assert words in (tmp_path / "site" / page).read_text(encoding="utf-8")
