"""The documents agree with the code: papers are named, and links lead somewhere."""

import re
from pathlib import Path

import pytest

import tuner
from tuner import registry

ROOT = Path(tuner.__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
ACCELERATORS = registry.components("accelerators")


@pytest.mark.parametrize("name", ACCELERATORS)
def test_every_accelerator_and_its_paper_are_in_the_readme_and_the_citation_file(name: str) -> None:
    number = ACCELERATORS[name].paper.removeprefix("arXiv ")
    address = f"https://arxiv.org/abs/{number}"
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("## The accelerators", 1)[1]
    row = next(line for line in table.splitlines() if line.startswith(f"| `{name}` |"))
    assert address in row
    assert f"url: {address}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_to_files(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"
