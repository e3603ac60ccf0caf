"""Prompt files of every format, damaged, huge, deep or in other encodings."""

import json
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.fuzz.bounds import INPUTS, answer, fuzz
from tests.fuzz.hostile import NESTED, TEXTS, damaged, json_of, mangled
from tuner.prompts import prompt_set

CSV = b'id,caption\n1,a cat\n2,"a dog, asleep"\n3,\n4,"a ""red"" fox"\n5,a bird\n'
ROWS = [{"id": 1, "caption": "a cat"}, {"id": 2, "caption": ["a dog", "a hound"]}]
JSONL = "\n".join(map(json.dumps, ROWS)).encode()
TEXT = "a cat\r\n\r\na dog\na red fox\nein Fuß\n".encode()
COLUMNS = ["", ":caption", ":id", ":", ":nowhere", "::", ":\0", f":{'x' * 5000}"]

files = st.one_of(
    mangled(CSV),
    mangled(JSONL),
    mangled(TEXT),
    st.binary(max_size=200),
    st.lists(damaged(ROWS[1]), max_size=3).map(lambda rows: "\n".join(map(json_of, rows)).encode()),
    st.sampled_from(["utf-16", "utf-32", "utf-8-sig", "latin-1"]).map(
        lambda encoding: TEXT.decode().encode(encoding)
    ),
    st.lists(st.sampled_from(TEXTS), max_size=5).map(
        lambda drawn: ",".join(drawn).encode(errors="surrogatepass")
    ),
)
endings = st.sampled_from(["a.txt", "a.csv", "a.tsv", "a.jsonl", "a.ndjson", "a", "a.CSV"])


@INPUTS
def test_any_prompt_file_gives_prompts_or_one_line(inputs: int, tmp_path: Path) -> None:
    drawn = st.tuples(files, endings, st.sampled_from(COLUMNS))
    fuzz(inputs, drawn, lambda value: _read(tmp_path, *value))


@INPUTS
def test_any_name_of_prompts_gives_prompts_or_one_line(inputs: int) -> None:
    pieces = st.sampled_from([*TEXTS, ":", "a.csv", "/", "train", "..", "coco2", "~"])
    names = st.one_of(st.lists(pieces, min_size=1, max_size=4).map("".join), st.text(min_size=1))
    local = names.filter(lambda name: not _is_of_the_hub(name))
    fuzz(inputs, local, lambda name: prompt_set(name).load(2))


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.jsonl", NESTED.encode(), "a.jsonl:1: this is not JSON: lists or tables are nested"),
        ("a.jsonl", b'{"p": "\\ud800"}', "half of a surrogate pair"),
        ("a.csv", b"caption\n" + b"x" * 200_000, "this is not CSV: field larger than field limit"),
        ("a.csv", b"a,b\n\0", "has several columns: a, b"),
        ("a.csv", b"\na cat\n", "a.csv:1: the row is empty; the first row names the columns"),
        ("a.csv", ",".join(f"c{n}" for n in range(9999)).encode(), "c19, …; name one"),
        ("a.txt", "a cat\n".encode("utf-16"), "is not UTF-8 text"),
        ("a.txt", b"x" * 70_000_000, "has 70 MB, but at most 64 MB are read"),
        ("a.txt", b"ab\n" * 21_000_000, "has 21,000,000 lines, but at most 300,000 are read"),
        ("a.jsonl", b'{"p":"ab"}\n' * 5_500_000, "has 5,500,000 lines, but at most 300,000"),
        ("a.csv", b"p\r" + b"ab\r" * 20_000_000, "has 20,000,001 lines, but at most 300,000"),
        ("a.txt", b"a cat\n" + b"x" * 11_000_000, "prompt 2 of the prompt file"),
    ],
)
def test_prompt_files_that_must_be_refused(
    name: str, data: bytes, words: str, tmp_path: Path
) -> None:
    assert words in answer(lambda value: _read(tmp_path, value, name, ""), data)


def test_a_prompt_file_that_is_no_file_is_not_waited_for() -> None:
    assert "it is not a regular file" in answer(lambda name: prompt_set(name).load(2), "/dev/zero")


def _read(folder: Path, data: bytes, name: str, column: str) -> list[str]:
    (folder / name).write_bytes(data)
    prompts = prompt_set(f"{folder / name}{column}").load(2)
    for prompt in prompts:
        prompt.encode()  # a tokenizer and a database take it
    return prompts


def _is_of_the_hub(name: str) -> bool:
    """Whether it is read by the library `datasets`, which these tests are not about."""
    parts = name.split(":")
    return len(parts) in (3, 4) and all(parts)
