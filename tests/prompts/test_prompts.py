"""Prompt sets: files, the miniature's captions, and COCO's."""

import json
from pathlib import Path

import pytest

from tuner.errors import UsageError
from tuner.models.miniature import world
from tuner.prompts import PromptFile, prompt_set
from tuner.prompts.coco import Coco


def written(folder: Path, text: str) -> PromptFile:
    path = folder / "prompts.txt"
    path.write_text(text, encoding="utf-8")
    return PromptFile(path)


def test_a_file_has_a_prompt_a_line_and_empty_lines_are_skipped(tmp_path: Path) -> None:
    prompts = written(tmp_path, "a cat\n\n  a dog \r\nein Hündchen\n   \na fox")
    assert prompts.load(3) == ["a cat", "a dog", "ein Hündchen"]
    assert prompts.load(4)[-1] == "a fox"


def test_a_byte_order_mark_is_no_part_of_the_first_prompt(tmp_path: Path) -> None:
    assert written(tmp_path, "\ufeffa cat\na dog").load(1) == ["a cat"]


def test_too_few_prompts_say_how_many_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 2 prompts, but num_samples is 3"):
        written(tmp_path, "a\nb\n").load(3)


def test_verifying_uses_other_lines_than_searching(tmp_path: Path) -> None:
    prompts = written(tmp_path, "".join(f"prompt {number}\n" for number in range(20)))
    assert not set(prompts.load(10)) & set(prompts.load(10, "verify"))
    assert prompts.load(11, "verify") == prompts.load(11)  # too few for other ones


def test_further_prompts_are_taken_from_the_same_pool(tmp_path: Path) -> None:
    prompts = written(tmp_path, "".join(f"prompt {number}\n" for number in range(20)))
    assert prompts.load(4, "search", 100) == [f"prompt {number}" for number in range(0, 20, 2)]
    assert prompts.load(4, "verify", 7) == [f"prompt {number}" for number in range(1, 15, 2)]
    assert len(prompts.load(11, "search", 15)) == 15  # too few to keep apart
    miniature = prompt_set("miniature")
    assert miniature.load(4, "search", 6)[:4] == miniature.load(4)
    assert len(miniature.load(1000, "search", 4000)) == 1024


@pytest.mark.parametrize("pool", ["search", "verify"])
def test_prompts_keep_their_pool_and_place_when_a_file_grows(tmp_path: Path, pool: str) -> None:
    lines = [f"prompt {number}\n" for number in range(40)]
    whole = written(tmp_path, "".join(lines)).load(4, pool, 100)
    for count in (8, 9, 20, 39):
        shorter = written(tmp_path, "".join(lines[:count])).load(4, pool, 100)
        assert shorter == whole[: len(shorter)]
        assert len(shorter) >= count // 2


def test_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    breaks = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\r"
    inside = [f"a cat{character}on a mat" for character in breaks]
    path = tmp_path / "prompts.txt"
    path.write_bytes("\r\n".join(inside).encode())
    assert PromptFile(path).load(len(inside)) == inside


def test_a_name_is_a_known_set_or_a_file(tmp_path: Path) -> None:
    assert prompt_set("COCO").name == "coco"
    assert prompt_set("miniature").name == "miniature"
    path = tmp_path / "coco.txt"
    assert prompt_set(str(path)).name == str(path)
    with pytest.raises(
        UsageError, match="known: coco, DrawBench, miniature, PartiPrompts; or a text"
    ):
        prompt_set("cocoo")


@pytest.mark.parametrize("pool", world.POOLS)
def test_the_miniatures_pools_are_the_worlds(pool: str) -> None:
    count = world.POOLS[pool]
    assert tuple(prompt_set("miniature").load(count, pool)) == world.pools()[pool]
    with pytest.raises(UsageError, match=f"has {count} prompts"):
        prompt_set("miniature").load(count + 1, pool)


def test_an_unknown_pool_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="known: search, truth, verify"):
        prompt_set("miniature").load(2, "serach")


def test_cocos_prompts_are_the_first_caption_of_each_entry_in_order(tmp_path: Path) -> None:
    rows = [{"captions": [f"first {n}", f"second {n}"], "coco_url": f"no {n}"} for n in range(2600)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "validation.jsonl").write_text(lines)
    (tmp_path / "train.jsonl").write_text("this is never read\n")
    load = Coco().load
    assert load(3, source=str(tmp_path)) == ["first 0", "first 1", "first 2"]
    assert load(2, "verify", source=str(tmp_path)) == ["first 2500", "first 2501"]
    assert len(load(2, "verify", 3, source=str(tmp_path))) == 3
    assert len(load(2, "search", 9999, source=str(tmp_path))) == 2500  # where verifying begins
    with pytest.raises(UsageError, match="has 100 prompts, but num_samples is 101"):
        load(101, "verify", source=str(tmp_path))


def test_an_error_for_missing_captions_suggests_a_text_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="set prompts to a text file") as caught:
        Coco().load(3, source=str(tmp_path / "nowhere"))
    assert "\n" not in str(caught.value)
