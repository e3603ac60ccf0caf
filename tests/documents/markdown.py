"""The documents, read with a parser of Markdown."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.anchors import anchors_plugin

import tuner

ROOT = Path(tuner.__file__).parent.parent
DOCS = ROOT / "docs"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md"), *ROOT.glob("bench/*.md")])


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


@cache
def tokens(document: Path) -> list[Token]:
    """The blocks and the text of a document; its headings have GitHub's anchors as `id`."""
    parser = MarkdownIt("commonmark").enable("table").use(anchors_plugin, max_level=6)
    return [
        token
        for block in parser.parse(document.read_text(encoding="utf-8"))
        for token in (block, *(block.children or ()))
    ]


def links(document: Path) -> Iterator[str]:
    """The targets of all links and pictures."""
    for token in tokens(document):
        target = token.attrGet("href") or token.attrGet("src")
        if target:
            yield str(target)


@cache
def anchors(document: Path) -> set[str]:
    return {str(t.attrGet("id")) for t in tokens(document) if t.type == "heading_open"}


def blocks(document: Path, language: str) -> Iterator[tuple[int, str]]:
    """The line and the text of each code block in a language."""
    for token in tokens(document):
        if token.type == "fence" and token.info.split()[:1] == [language]:
            yield (token.map or [0])[0] + 1, token.content


def inline_code(document: Path) -> Iterator[str]:
    return (token.content for token in tokens(document) if token.type == "code_inline")
