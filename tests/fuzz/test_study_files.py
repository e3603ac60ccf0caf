"""Study files that are damaged, huge, deep or no TOML."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.fuzz.bounds import INPUTS, answer, fuzz
from tests.fuzz.hostile import NESTED, TEXTS, mangled
from tuner.study_files import KEYS, read_specs

VALID = b"""\
pipe = "miniature"
sched = ["DDIM", "UniPC"]
steps = [20, 50]
search_targets = "deepcache,tome"
num_samples = 8
req_score_loss = 0.02
prompts = "miniature"
aim = "front"
timeout = 3600
distinct = false

[limits]
lpips = 0.2

[knobs.tome]
ratio = [0.1, 0.5]
max_downsample = [1]
"""
LITERALS = [
    *("true", "1", "-1", "0.5", "1e400", "inf", "nan", "1979-05-27", "1979-05-27T07:32:00Z"),
    *("[]", "{}", "{a = 1}", "[1, 'a', [2]]", "9" * 5000, "9" * 30, "0x" + "f" * 300),
    *(NESTED, "{a = " * 500 + "1" + "}" * 500, "[" + "1," * 30_000 + "]", "''", '"""\n\n"""'),
    *(json.dumps(text) for text in TEXTS),
]
NAMES = [
    *sorted(KEYS),
    "limits.lpips",
    "knobs.tome.ratio",
    "x",
    '""',
    "a." * 5000 + "b",
    "é" * 9999,
]

lines = st.lists(
    st.builds("{} = {}".format, st.sampled_from(NAMES), st.sampled_from(LITERALS)), max_size=4
)
files = st.one_of(
    mangled(VALID),
    st.binary(max_size=200),
    lines.map(lambda drawn: "\n".join(drawn).encode(errors="replace")),
    st.tuples(mangled(VALID), lines).map(
        lambda drawn: "\n".join(drawn[1]).encode(errors="replace") + b"\n" + drawn[0]
    ),
)


@INPUTS
def test_any_study_file_gives_studies_or_one_line(inputs: int, tmp_path: Path) -> None:
    fuzz(inputs, files, lambda data: _read(tmp_path, data))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"steps = {NESTED}", "lists or tables are nested more than 32 levels deep"),
        (f"steps = {'9' * 5000}", "this is not TOML"),
        (f"steps = {2**70}", "a whole number has more than 64 bits"),
        (f"[limits]\nlpips = {10**30}", "a whole number has more than 64 bits"),
        (f'steps = "{"9" * 5000}"', "steps must be a whole number"),
        (f"steps = {list(range(1, 20_000))}", "19,999 studies, but at most 10,000 are run"),
        ("#" * 300_000, "has 300 kB, but at most 250 kB are read"),
        ("d = 1979-02-30", "this is not TOML"),
        ("a." * 50_000 + "a = 1", "the line has more than 300 dots"),
        ("a." * 100 + "a = 1", "lists or tables are nested more than 32 levels deep"),
    ],
)
def test_study_files_that_once_crashed_or_hung_a_run(text: str, words: str, tmp_path: Path) -> None:
    assert words in answer(lambda data: _read(tmp_path, data), text.encode())


def test_a_study_file_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    assert "it is not a regular file" in answer(
        lambda path: read_specs(path, {}), Path("/dev/zero")
    )
    # As Python says, in words that differ from version to version.
    assert "embedded null" in answer(lambda path: read_specs(path, {}), Path("a\0b"))


def _read(folder: Path, data: bytes) -> Any:
    path = folder / "study.toml"
    path.write_bytes(data)
    return read_specs(path, {})
