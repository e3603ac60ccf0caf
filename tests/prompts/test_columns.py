"""Prompts from columns of files and of data sets, read by `datasets` where it is one."""

import json
from pathlib import Path

import pytest

from tuner.errors import UsageError
from tuner.prompts import PromptData, PromptFile, prompt_set

CSV = 'id,caption\n1,a cat\n2,"a dog, asleep"\n3,\n4,"a ""red"" fox"\n'
JSONL = '{"id": 1, "caption": "a cat"}\n\n{"id": 2, "caption": ["a dog", "a hound"]}\n'


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_a_column_of_a_csv_file_is_named_after_the_file(tmp_path: Path) -> None:
    prompts = prompt_set(written(tmp_path, "a.csv", CSV) + ":caption")
    assert prompts.load(3) == ["a cat", "a dog, asleep", 'a "red" fox']
    tabs = prompt_set(written(tmp_path, "a.tsv", CSV.replace(",", "\t")) + ":caption")
    assert tabs.load(2) == ["a cat", "a dog\t asleep"]


def test_a_column_of_a_jsonl_file_has_texts_or_lists_of_texts(tmp_path: Path) -> None:
    assert prompt_set(written(tmp_path, "a.jsonl", JSONL) + ":caption").load(2) == [
        "a cat",
        "a dog",
    ]


def test_a_file_of_one_column_needs_no_name(tmp_path: Path) -> None:
    assert prompt_set(written(tmp_path, "a.csv", "\ufeffprompt\na cat\n")).load(1) == ["a cat"]
    assert prompt_set(written(tmp_path, "a.jsonl", '{"p": "a cat"}')).load(1) == ["a cat"]


def test_verifying_uses_other_rows_than_searching(tmp_path: Path) -> None:
    rows = "".join(f"prompt {number}\n" for number in range(20))
    prompts = prompt_set(written(tmp_path, "a.csv", f"caption\n{rows}"))
    assert prompts.load(2) == ["prompt 0", "prompt 2"]
    assert prompts.load(2, "verify", 3) == ["prompt 1", "prompt 3", "prompt 5"]


@pytest.mark.parametrize(
    ("name", "text", "column", "words"),
    [
        ("a.csv", CSV, "", r"a.csv has several columns: id, caption; name one after the file"),
        ("a.csv", CSV, ":text", r"a.csv has no column 'text'; its columns: id, caption"),
        ("a.csv", "", ":text", r"a.csv is empty"),
        ("a.jsonl", JSONL, "", r"a.jsonl:1 has several columns: id, caption; name one"),
        ("a.jsonl", JSONL, ":text", r"a.jsonl:1 has no column 'text'; its columns: id, caption"),
        (
            "a.jsonl",
            JSONL,
            ":id",
            r"a.jsonl:1: the column 'id' has 1, which is no text; name another",
        ),
        ("a.jsonl", '{"p": "a"}\n{"p', ":p", r"a.jsonl:2: this is not JSON"),
        ("a.jsonl", '"a cat"\n', "", r"a.jsonl:1: this is no JSON object"),
    ],
)
def test_a_mistake_in_a_table_is_one_line(
    tmp_path: Path, name: str, text: str, column: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        prompt_set(written(tmp_path, name, text) + column).load(1)
    assert "\n" not in str(caught.value)


def test_a_file_whose_name_has_a_colon_is_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, "a:b:c", "a cat\n")
    assert prompt_set(path).load(1) == ["a cat"]


def data_set(folder: Path, split: str = "train", count: int = 12) -> Path:
    """A data set in a folder, with a column of texts, one of lists and one of numbers."""
    rows = [{"text": f"text {n}", "list": [f"first {n}", "no"], "id": n} for n in range(count)]
    written(folder, f"{split}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_data_set_is_named_with_its_split_and_column(tmp_path: Path) -> None:
    folder = data_set(tmp_path, "test")
    prompts = prompt_set(f"{folder}:test:text")
    assert isinstance(prompts, PromptData)
    assert prompts.load(2) == ["text 0", "text 2"]
    assert prompts.load(2, "verify", 3) == ["text 1", "text 3", "text 5"]
    assert prompts.load(7, "verify") == prompts.load(7) == [f"text {n}" for n in range(7)]
    assert prompt_set(f"{folder}:test:list").load(2) == ["first 0", "first 2"]
    assert prompt_set(f"{folder}:default:test:text").load(1) == ["text 0"]


@pytest.mark.parametrize(
    ("place", "count", "words"),
    [
        ("train:caption", 1, r"has no column 'caption'; its columns: text, list, id$"),
        ("train:id", 1, r"the column 'id' has 0, which is no text; name another column$"),
        ("train:text", 13, r"has 12 prompts, but num_samples is 13; lower num_samples$"),
        ("validation:text", 1, r"^cannot read the data set .*; set prompts to ID:SPLIT:COLUMN"),
    ],
)
def test_a_mistake_in_a_data_set_is_one_line(
    tmp_path: Path, place: str, count: int, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        prompt_set(f"{data_set(tmp_path)}:{place}").load(count)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "file", "column"),
    [("PartiPrompts", "PartiPrompts.tsv", "Prompt"), ("draw-bench", "train.csv", "Prompts")],
)
def test_the_benchmarks_are_read_from_files_like_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str, column: str
) -> None:
    end = "\t" if file.endswith("tsv") else ","
    rows = "".join(f"a cat {n}{end}Animals\n" for n in range(8))
    written(tmp_path, file, f"{column}{end}Category\n{rows}")
    known = prompt_set(name)
    assert isinstance(known, PromptData)
    monkeypatch.setattr(known, "repository", str(tmp_path))
    assert known.load(2) == ["a cat 0", "a cat 2"]


def test_a_hub_id_without_a_split_says_how_a_data_set_is_named() -> None:
    prompts = prompt_set("someone/prompts")
    assert isinstance(prompts, PromptFile)
    with pytest.raises(UsageError, match=r"a data set is named ID:SPLIT:COLUMN$"):
        prompts.load(1)
