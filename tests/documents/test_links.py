"""The documents agree with the code and one another: papers are named, links lead somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.documents.markdown import DOCS, DOCUMENTS, ROOT, anchors, inline_code, links, name_of
from tuner import registry

ACCELERATORS = registry.components("accelerators")
EACH_DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_every_accelerator_and_its_paper_are_in_their_table_and_the_citation_file(
    name: str,
) -> None:
    number = ACCELERATORS[name].paper.removeprefix("arXiv ")
    address = f"https://arxiv.org/abs/{number}"
    table = (DOCS / "accelerators.md").read_text(encoding="utf-8")
    row = next((line for line in table.splitlines() if line.startswith(f"| `{name}` |")), None)
    assert row is not None, f"docs/accelerators.md has no row of {name}"
    assert address in row
    assert f"url: {address}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@EACH_DOCUMENT
def test_links_lead_to_files_and_headings_that_exist(document: Path) -> None:
    for link in links(document):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https", link
            continue
        target = (document.parent / unquote(parts.path)).resolve() if parts.path else document
        assert target.exists(), f"{link} leads to no file"
        if parts.fragment:
            assert parts.fragment in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("document", sorted(DOCS.glob("**/*.md")), ids=name_of)
def test_links_of_a_page_stay_among_the_pages_that_the_site_has(document: Path) -> None:
    for link in links(document):
        parts = urlsplit(link)
        if not parts.scheme and parts.path:
            assert (document.parent / parts.path).resolve().is_relative_to(DOCS), link


@EACH_DOCUMENT
def test_paths_in_the_text_exist(document: Path) -> None:
    for code in inline_code(document):
        if re.fullmatch(r"[\w/-]+/[\w.-]+\.(py|md|toml|json|png)", code) and "NAME" not in code:
            places = (ROOT, ROOT / "tuner", document.parent)
            assert any((place / code).exists() for place in places), code
