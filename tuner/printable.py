"""Text that came from files, as a terminal may show it: without characters that control it."""

import re

# Controls (of C0 without tab and line feed, DEL, C1), marks that reverse the direction of writing,
# and halves of surrogate pairs, which no encoding can write.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MARK = "\ufffd"  # stands where a character was


def printable(text: str, mark: str = MARK) -> str:
    """The text with a mark in place of each character that controls a terminal."""
    return _CONTROLS.sub(mark, text)


def printable_json(document: str) -> str:
    r"""The same JSON document with such characters escaped (\u009b) as JSON allows."""
    return _IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", document)
