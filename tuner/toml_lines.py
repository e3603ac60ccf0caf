"""The lines on which the keys of a TOML file stand, found with tree-sitter's grammar of TOML.

Python's `tomllib` reads the values, but keeps no positions.
"""

import tomllib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tree_sitter import Node

Key = tuple[str | int, ...]  # ('knobs', 'tome', 'ratio', 0): names of keys, and indices in lists


def line_of(text: str, key: Key) -> int | None:
    """The line of a key, counted from 1.

    Args:
        text: a TOML document without syntax errors.
        key: the path of the key. If only a beginning of it is in the document, as when a list is
            written as one string, the line is that of the longest beginning.

    Returns:
        The line; None if not even the first part of the key is in the document.
    """
    import tree_sitter
    import tree_sitter_toml

    language = tree_sitter.Language(tree_sitter_toml.language())
    tree = tree_sitter.Parser(language).parse(text.encode())
    lines = dict(_lines(tree.root_node, ()))
    beginnings = (key[:length] for length in range(len(key), 0, -1))
    return next((lines[part] for part in beginnings if part in lines), None)


def _lines(node: "Node", path: Key) -> Iterator[tuple[Key, int]]:
    """Each key below a node, with its line; `path` is that of the node itself."""
    for child in node.named_children:
        inner = path
        if child.type in ("pair", "table", "table_array_element"):
            name = child.named_children[0]
            for part in _parts(name):
                inner = (*inner, part)
                yield inner, name.start_point.row + 1
        yield from _lines(child, inner)
        if child.type == "array":
            items = [item for item in child.named_children if item.type != "comment"]
            for index, item in enumerate(items):
                yield (*path, index), item.start_point.row + 1


def _parts(name: "Node") -> Iterator[str]:
    """The parts of a key that may be dotted and quoted, as in `a."b c"`."""
    assert name.text is not None, "the tree was parsed from a text"
    table: Any = tomllib.loads(f"{name.text.decode()} = 0")
    while isinstance(table, dict):
        (part, table), *_ = table.items()
        yield part
