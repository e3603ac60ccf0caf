"""Valid documents that are damaged in ways that an attacker or an accident would choose."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

DEEP = "deep"  # stands for a list that is nested 10,000 deep, which no encoder writes
NESTED = "[" * 10_000 + "]" * 10_000

NUMBERS = [0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 0.0, -0.0, 1e308, 5e-324]
FLOATS = [float("nan"), float("inf"), float("-inf")]
TEXTS = [
    "",
    " ",
    "\0",
    "a\0b",
    "\ud800",
    "\x1b[31mred\x1b[0m\x07",
    "\x9b2J",
    "\u202egnp.exe",
    "<script>alert(1)</script>",
    '"""\nimport os\nos.abort()\n"""',
    "\\",
    "=HYPERLINK(0)",
    "../../../etc/passwd",
    "/etc/passwd",
    "/dev/zero",
    "NUL",
    "é" * 255,
    "x" * 20_000,
    "%s%n{0}{x}",
    "[link](javascript:alert(1))",
    "[/red] :smile: [bold]",
    "trial " + "9" * 5000,
]
VALUES: list[Any] = [None, True, False, *NUMBERS, *FLOATS, *TEXTS, [], {}, [[]], [None], {"": {}}]
VALUES += [[0] * 10_000, {str(n): n for n in range(3000)}, DEEP]

values = st.one_of(
    st.sampled_from(VALUES),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.one_of(st.integers(), st.text(max_size=5)), max_size=3),
)


@st.composite
def damaged(draw: st.DrawFn, document: Any) -> Any:
    """The document with one to three of its parts replaced, deleted, renamed or wrapped."""
    result = {"": copy.deepcopy(document)}
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(result))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(["replace", "replace", "delete", "rename", "wrap", "repeat"]))
        if change == "replace":
            holder[key] = copy.deepcopy(draw(values))
        elif change == "wrap":
            holder[key] = [holder[key]]
        elif change == "delete" and key != "":
            del holder[key]
        elif change == "rename" and isinstance(holder, dict) and key != "":
            holder[str(draw(values))[:1000]] = holder.pop(key)
        elif change == "repeat":
            holder[key] = [copy.deepcopy(holder[key]) for _ in range(draw(st.integers(2, 50)))]
    return result.get("")


def json_of(value: Any) -> str:
    """A document as JSON, with Python's NaN and Infinity, and with what is deeply nested."""
    return json.dumps(value).replace(f'"{DEEP}"', NESTED)


@st.composite
def mangled(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with a few pieces deleted, repeated, replaced or cut off."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([1, 1, 2, 8, 100, 4096])))
        piece = draw(
            st.one_of(
                st.binary(max_size=16),
                st.just(b""),
                st.just(data[start:end] * 3),
                st.just(b"\0" * (end - start)),
                st.sampled_from([text.encode(errors="replace") for text in TEXTS]),
                st.just(NESTED.encode()),
            )
        )
        data = data[:start] + piece + (b"" if draw(st.integers(0, 9)) == 0 else data[end:])
    return data


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each part of a document: what holds it, and its key or index there."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys if isinstance(value, dict) else list(keys)[:20]:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])
